"""A plugin in Python: a FlagStore that keeps its flags in memory.

All that a plugin has to do is here, without any SDK: the handshake, the token, the health service, answers and
errors with what the caller goes by, and a clean end. `build` makes one file of it and of the messages of the
contract; README.md says how.
"""

import hmac
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from release.plugin.v1 import (
    call_pb2,
    flag_store_pb2,
    flag_store_pb2_grpc,
    plugin_pb2,
    plugin_pb2_grpc,
)

COOKIE = ("RELEASE_PLUGIN", "8f1d5c0e-release-plugin")
PROTOCOL = "1"  # the version of the contract


class Failed(Exception):
    """An error of the contract. Nothing was done, unless it says otherwise."""

    def __init__(self, kind, message, effect=call_pb2.EFFECT_NOT_APPLIED, **facts):
        super().__init__(message)
        self.error = call_pb2.Error(
            kind=kind,
            retry=call_pb2.RETRY_NEVER,
            effect=effect,
            operation="flags",
            message=message,
            facts=[call_pb2.Fact(name=n, value=str(v)) for n, v in facts.items()],
        )


class Flags(flag_store_pb2_grpc.FlagStoreServicer):
    """Knows the flags that it is started with, each as `environment/flag`. One key may come twice: the same wish again
    changes nothing."""

    def __init__(self, names):
        self._lock = threading.Lock()
        off = flag_store_pb2.FlagState(off=flag_store_pb2.FlagState.Off())
        # By environment and flag: state and revision.
        self._flags = {tuple(name.split("/", 1)): (off, 1) for name in names}
        self._killed = {}  # likewise: by whom and why

    def Set(self, call, _):
        return self._answer(flag_store_pb2.FlagStoreSetReply, call, self._set)

    def Kill(self, call, _):
        return self._answer(flag_store_pb2.FlagStoreKillReply, call, self._kill)

    def Observe(self, call, _):
        return self._answer(flag_store_pb2.FlagStoreObserveReply, call, self._observe)

    def _answer(self, reply, call, operation):
        """Every reply repeats the id of its call, and has a result or an error."""
        call_id = call.context.call_id
        try:
            with self._lock:
                return reply(call_id=call_id, ok=operation(call.request))
        except Failed as failed:
            return reply(call_id=call_id, error=failed.error)
        except Exception as bug:  # nobody knows how far it got
            print(f"a bug: {bug!r}", file=sys.stderr, flush=True)
            kind, text = call_pb2.ERROR_KIND_INTERNAL, "the provider failed; its log says where"
            failed = Failed(kind, text, call_pb2.EFFECT_UNKNOWN)
            return reply(call_id=call_id, error=failed.error)

    def _find(self, request):
        flag = self._flags.get((request.environment, request.flag))
        if flag is None:
            raise Failed(call_pb2.ERROR_KIND_NOT_FOUND, "there is no such flag", flag=request.flag)
        return flag

    def _set(self, request):
        state, revision = self._find(request)
        wish = request.state
        if wish.WhichOneof("state") is None:
            raise Failed(call_pb2.ERROR_KIND_INVALID, "the state is none that this plugin knows")
        if wish.WhichOneof("state") == "share" and wish.share.percent > 100:
            raise Failed(call_pb2.ERROR_KIND_INVALID, "a share is of a hundred")
        at = request.environment, request.flag
        if at in self._killed and not request.revive:
            if wish.WhichOneof("state") == "off":
                return call_pb2.Done()
            raise Failed(call_pb2.ERROR_KIND_CONFLICT, "the flag was killed", killed=self._killed[at])
        revived = at in self._killed
        if wish == state and not revived:  # whatever is expected: who asks again for what is done is told that it is
            return call_pb2.Done()
        if request.HasField("expected") and request.expected != revision:
            text = "somebody else changed the flag; look at it again"
            raise Failed(call_pb2.ERROR_KIND_CONFLICT, text, revision=revision)
        self._flags[at] = (wish, revision + 1)
        self._killed.pop(at, None)
        return call_pb2.Done()

    def _kill(self, request):
        _, revision = self._find(request)
        at = request.environment, request.flag
        if at not in self._killed:
            off = flag_store_pb2.FlagState(off=flag_store_pb2.FlagState.Off())
            self._flags[at] = (off, revision + 1)
            self._killed[at] = request.reason
        return call_pb2.Done()

    def _observe(self, request):
        state, revision = self._find(request)
        return flag_store_pb2.FlagStatus(
            flag=request.flag,
            environment=request.environment,
            state=state,
            revision=revision,
            killed=self._killed.get((request.environment, request.flag)),
        )


class Plugin(plugin_pb2_grpc.PluginServicer):
    """Says what this is, and ends when it is asked to. `Cancel` is optional, and is left out."""

    def __init__(self, end):
        self._end = end

    def Describe(self, request, _):
        description = plugin_pb2.Description(
            name="python flags",
            version="1.0.0",
            effects=plugin_pb2.EFFECT_CLASS_IDEMPOTENT,
            config_schema="true",
        )
        entry = plugin_pb2.CapabilityEntry(capability="flag_store", description=description)
        return plugin_pb2.DescribeReply(name="python-flags", version="1.0.0", capabilities=[entry])

    def Shutdown(self, request, _):
        self._end.set()
        return plugin_pb2.ShutdownReply()


class TokenCheck(grpc.ServerInterceptor):
    """Lets only the host that started this process in."""

    def __init__(self, token):
        self._token = token.encode()

        def refuse(_, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token of this start is missing or wrong")

        self._refuse = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, proceed, details):
        given = dict(details.invocation_metadata).get("release-plugin-token", "")
        given = given if isinstance(given, bytes) else given.encode()
        return proceed(details) if hmac.compare_digest(given, self._token) else self._refuse


def environment():
    """The directory for the socket, and the token."""
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        sys.exit("this program is a plugin for release automation; name it in the configuration of the host")
    if PROTOCOL not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "").split(","):
        sys.exit(f"the host does not speak version {PROTOCOL} of the contract")
    # Out of the environment: what this process starts does not need it.
    return os.environ["PLUGIN_UNIX_SOCKET_DIR"], os.environ.pop("RELEASE_PLUGIN_TOKEN")


def main():
    directory, token = environment()
    end = threading.Event()

    def watch_stdin():
        """The host holds the other end: when it is gone, so is this plugin."""
        while os.read(0, 4096):  # not through sys.stdin, whose lock Python wants at its end
            pass
        end.set()

    threading.Thread(target=watch_stdin, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: end.set())

    server = grpc.server(ThreadPoolExecutor(max_workers=16), interceptors=[TokenCheck(token)])
    flag_store_pb2_grpc.add_FlagStoreServicer_to_server(Flags(sys.argv[1:]), server)
    plugin_pb2_grpc.add_PluginServicer_to_server(Plugin(end), server)
    status = health.HealthServicer()
    status.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)

    path = os.path.join(directory, "plugin.sock")
    server.add_insecure_port(f"unix:{path}")
    server.start()
    print(f"1|{PROTOCOL}|unix|{path}|grpc", flush=True)  # the handshake: one line, the first
    end.wait()
    server.stop(grace=2).wait()


if __name__ == "__main__":
    main()
