"""What the detector of access and sd_notify(3) report, as events for the machine."""

from typing import TYPE_CHECKING

from supervise.core.events import Alive, ProbeFailed, Ready, Stuck, TimeRequested
from supervise.faces.report_items import CommandMessage, Trouble
from supervise.process.protocol import unknown

if TYPE_CHECKING:
    from supervise.runner.dispatcher import Runner


def hear_detector(runner: "Runner") -> None:
    """Handle all that the detector of access has found by now.

    Raises UnknownMessageError.
    """
    launched = runner.launched
    for finding in launched.access.detector.findings.take() if launched.access.detector else ():
        match finding:
            case ("found", sign, at):
                runner.dispatch(Ready(sign, at - launched.info.started))
            case ("missed", sign, why):
                runner.dispatch(ProbeFailed(sign, why))
            case ("failed", text):
                runner.notices.announce(Trouble(text))
            case ("helper", pid, is_running):
                # Should the supervisor die, the guardian kills the helper.
                launched.child.channel.send(("helper", pid, is_running))
            case _:
                raise unknown(finding)


def hear_notify(runner: "Runner") -> None:
    """Handle all that the command has sent by sd_notify(3) by now.

    Raises UnknownMessageError.
    """
    launched = runner.launched
    for news in launched.access.notify.take() if launched.access.notify else ():
        match news:
            case ("ready", at):
                runner.dispatch(Ready("notify", at - launched.info.started))
            case ("alive", at):
                runner.dispatch(Alive(at - launched.info.started))
            case ("stuck", at):
                runner.dispatch(Stuck(at - launched.info.started))
            case ("prolong", at, by):
                runner.dispatch(TimeRequested(by, at - launched.info.started))
            case ("status" | "stopping" | "main pid" as what, _, text):
                runner.say(CommandMessage(what, text))
            case _:
                raise unknown(news)
