// Copies what the pages and their tests use from node_modules, as published, with its licences.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const target = join(here, "..", "static", "vendor");
const tests = join(here, "..", "..", "..", "tests", "browser", "vendor");

const SCRIPTS = [
  ["cytoscape", "dist/cytoscape.esm.min.mjs", join(target, "cytoscape.js")],
  ["@dagrejs/dagre", "dist/dagre.esm.js", join(target, "dagre.js")],
  ["axe-core", "axe.min.js", join(tests, "axe.min.js")],
];
const FONTS = [
  ["@fontsource-variable/inter", "files/inter-latin-wght-normal.woff2", "inter-latin.woff2"],
  ["@fontsource-variable/source-serif-4", "files/source-serif-4-latin-wght-normal.woff2", "source-serif-latin.woff2"],
  ["@fontsource/ibm-plex-mono", "files/ibm-plex-mono-latin-400-normal.woff2", "plex-mono-latin.woff2"],
];

/** Source maps are not shipped, so nothing should ask for them. */
const withoutMap = (text) => text.replace(/^\/\/# sourceMappingURL=.*$/m, "");

function notice(names) {
  const parts = names.map((name) => {
    const { version, license, homepage } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
    const text = readFileSync(join(modules, name, "LICENSE"), "utf8").trim();
    return `${name} ${version} (${license})\n${homepage ?? ""}\n\n${text}\n`;
  });
  return `Files in this folder come from these npm packages, unchanged but for references to source maps.\n\n${parts.join(`\n${"-".repeat(78)}\n\n`)}`;
}

mkdirSync(join(target, "fonts"), { recursive: true });
mkdirSync(tests, { recursive: true });
for (const [name, file, to] of SCRIPTS) writeFileSync(to, withoutMap(readFileSync(join(modules, name, file), "utf8")));
for (const [name, file, to] of FONTS) copyFileSync(join(modules, name, file), join(target, "fonts", to));
writeFileSync(join(target, "NOTICE"), notice(["cytoscape", "@dagrejs/dagre", "@dagrejs/graphlib", ...FONTS.map(([name]) => name)]));
writeFileSync(join(tests, "NOTICE"), notice(["axe-core"]));
