"""Telling people that something waits for them or failed, through a notifier of Airflow that the settings name.

No DAG and no plugin in this file.
"""

import re
import threading
from html import escape
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier
from airflow.sdk.module_loading import import_string

from heritage.names import printable
from heritage.settings import NotifySettings, settings


class HeritageNotifier(BaseNotifier):
    """Sends subject and message by the settings' notifier, within a deadline; a mail server that is away fails no task.

    `subject` and `message` are templates. What they insert may be anybody's text, so it is never a template itself.
    """

    template_fields = ("subject", "message")

    def __init__(self, subject: str, message: str, page: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject, self.message, self.page = subject, message, page

    def notify(self, context: Any) -> None:
        """Send, or say in the log why not."""
        rules = settings().notify
        words = words_of(self.subject, self.message, link_of(context, self.page))
        fault = ["it took too long"]
        thread = threading.Thread(target=_send, args=(rules, words, context, fault), daemon=True)
        thread.start()
        thread.join(rules.deadline_s)
        if fault[0]:
            self.log.warning("nobody was told: %s", printable(fault[0], 500))


def approval_asked(task: str) -> list[BaseNotifier]:
    """For `notifiers` of an approval whose 'subject' the task of this id returned; empty where nobody is to be told."""
    if not settings().notify.notifier:
        return []
    subject = f"{{{{ ti.xcom_pull(task_ids='{task}')['subject'] }}}}"
    return [HeritageNotifier(subject, "Somebody has to approve or reject it.", "required_actions")]


def failed() -> list[BaseNotifier]:
    """For `on_failure_callback` of a DAG."""
    if not settings().notify.notifier:
        return []
    return [HeritageNotifier("{{ dag_run.dag_id }} failed", "Run {{ dag_run.run_id }} of {{ dag_run.dag_id }} failed.")]


def link_of(context: Any, page: str = "") -> str:
    """Where people see the task (or, without `page`, the run) in Airflow; '' where Airflow does not know its address.

    Airflow's own `generate_link_to_ui` drops the path below which Airflow may stand (standard provider 1.21).
    """
    from airflow.configuration import conf

    home = (settings().api.airflow_url or conf.get("api", "base_url", fallback="") or "").rstrip("/")
    run = context["dag_run"]
    link = f"{home}/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"
    if page:
        ti = context["ti"]
        link += f"/tasks/{quote(ti.task_id, safe='')}/{page}?map_index={ti.map_index}"
    return link if home else ""


def words_of(subject: str, message: str, link: str) -> dict[str, str]:
    """What stands for {subject}, {message}, {link} and {html} in the settings' arguments."""
    subject = printable(subject, 300)
    html = f"<p>{escape(subject)}</p><p>{escape(message)}</p>"
    return {
        "subject": subject,
        "message": f"{subject}\n{message}\n{link}".strip(),
        "link": link,
        "html": html + (f'<p><a href="{escape(link, quote=True)}">{escape(link)}</a></p>' if link else ""),
    }


def _send(rules: NotifySettings, words: dict[str, str], context: Any, fault: list[str]) -> None:
    try:
        kind = import_string(rules.notifier)
        inner = kind(**{name: _filled(text, words) for name, text in rules.arguments.items()})
        # not `inner(context)`, which would take the filled texts for templates
        inner.notify(context)
        fault[0] = ""
    except Exception as error:  # a notifier may raise whatever its service makes it raise
        fault[0] = f"{rules.notifier}: {type(error).__name__}: {error}"


def _filled(text: str, words: dict[str, str]) -> str:
    """`text` with the words put in; what a word holds is not looked at again."""
    return re.sub(r"\{(" + "|".join(words) + r")\}", lambda mark: words[mark[1]], text)
