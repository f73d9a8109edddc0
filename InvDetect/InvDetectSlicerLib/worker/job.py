"""One command on its way to the worker and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

OnMessage = Callable[[dict[str, Any]], None]


class Sender(Protocol):
    """Who sent a job, and can reach it on its way."""

    def cancel(self, job: Job) -> None: ...

    def tell(self, job: Job, what: str) -> None: ...


class Job:
    """A command on its way.

    command  as it was sent;  id  of it in the protocol
    reply    {} until it is finished; then the `done` or `failed` message. `failed` has kind ("error", "memory", "cancelled", "bug", or
             "gone": the worker ended by itself), text for the user, and log: the path of the log, or ""
    """

    def __init__(self, client: Sender, number: int, command: dict[str, Any], messages: OnMessage | None, finished: OnMessage | None):
        self.id, self.command, self.reply = number, command, dict[str, Any]()
        self._client, self._on_message, self._on_finished = client, messages, finished

    @property
    def finished(self) -> bool:
        """Whether there is a reply."""
        return bool(self.reply)

    @property
    def succeeded(self) -> bool:
        """Whether the reply is `done`."""
        return self.reply.get("message") == "done"

    def cancel(self) -> None:
        """Stop it, by ending the process if it does not stop by itself. `onFinished` is called from a later `poll`."""
        self._client.cancel(self)

    def pause(self) -> None:
        """Let it wait, when it runs."""
        self._client.tell(self, "pause")

    def resume(self) -> None:
        """Let it go on."""
        self._client.tell(self, "resume")

    def failure(self, kind: str, text: str, log: str = "") -> dict[str, Any]:
        """A reply that did not come from the worker; for the client alone."""
        return {"message": "failed", "id": self.id, "kind": kind, "text": text, "log": log}

    def deliver(self, message: dict[str, Any]) -> None:
        """Hand one message on; for the client alone."""
        if message["message"] in ("done", "failed"):
            self.reply, call = message, self._on_finished
        else:
            call = self._on_message
        if call is not None:
            call(message)
