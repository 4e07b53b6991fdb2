// Runs before the first paint, so that a chosen theme never flashes. Inside Airflow its theme is followed.
(() => {
  const framed = window.parent !== window;
  const read = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage may be forbidden; the system's theme is shown then
    }
  };
  const known = (value) => (value === "light" || value === "dark" ? value : "");
  const apply = () => {
    const chosen = known(read("heritage.theme")) || (framed ? known(read("theme")) : "");
    if (chosen) document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
    document.documentElement.classList.toggle("framed", framed);
    dispatchEvent(new Event("heritage-theme"));
  };
  apply();
  addEventListener("storage", apply);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  addEventListener("heritage-theme-chosen", apply);
})();
