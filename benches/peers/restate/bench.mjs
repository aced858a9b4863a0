// Restate, with its Node SDK: runs of no-op steps, each journaled by a server of our own.
//
//   node bench.mjs --runs 1 --steps 100 --samples 5
//
// The server listens on free ports of the loopback interface, keeps its data below TMPDIR, and is
// stopped with this program, however it ends. Prints one JSON object, as `peers durable` does.

import { spawn } from "node:child_process";
import { createServer as createHttp2Server } from "node:http2";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

// The SDK calls what Node has since 22.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
};
process.env.RESTATE_LOGGING ??= "ERROR"; // it logs to stdout, each invocation
const restate = await import("@restatedev/restate-sdk");

const HOST = "127.0.0.1";
const READY_MS = 60_000;
const WARM_UPS = 3;

const { values } = parseArgs({
  options: { runs: { type: "string" }, steps: { type: "string" }, samples: { type: "string" } },
});
const { runs, steps, samples } = Object.fromEntries(
  ["runs", "steps", "samples"].map((name) => {
    const value = Number(values[name]);
    if (!(Number.isInteger(value) && value > 0)) throw new Error(`--${name} must be a number above 0`);
    return [name, value];
  }),
);

let ran = 0;
const service = restate.service({
  name: "bench",
  handlers: {
    linear: async (context, count) => {
      for (let step = 0; step < count; step++) {
        await context.run("no_op", () => {
          ran += 1;
        });
      }
      return count;
    },
  },
});

/** Ports that are free now: all are held until all are known. */
async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise((resolve, reject) => server.once("error", reject).listen(0, HOST, resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The server's program is in a package of its own for each platform. */
function serverProgram() {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  try {
    return join(dirname(require.resolve(`${name}/package.json`)), "bin", "restate-server");
  } catch {
    throw new Error(`${name} is not installed: run npm ci beside ${import.meta.filename}, or leave restate out of PEERS`);
  }
}

function startServer(folder, log, [node, ingress, admin]) {
  const environment = {
    ...process.env,
    RESTATE_BASE_DIR: join(folder, "data"),
    RESTATE_NODE_NAME: "bench",
    RESTATE_DISABLE_TELEMETRY: "true",
    RESTATE_LISTEN_MODE: "tcp",
    RESTATE_BIND_IP: HOST,
    RESTATE_BIND_PORT: String(node),
    RESTATE_ADVERTISED_HOST: HOST,
    RESTATE_INGRESS__BIND_PORT: String(ingress),
    RESTATE_ADMIN__BIND_PORT: String(admin),
    RESTATE_LOG_DISABLE_ANSI_CODES: "true",
    TMPDIR: folder,
  };
  const output = openSync(log, "w");
  // setpriv has the kernel stop the server when this program dies without stopping it.
  return spawn("setpriv", ["--pdeathsig", "TERM", serverProgram(), "--no-logo"], {
    detached: true, // an interrupt at the terminal reaches this program only, which then stops it
    env: environment,
    stdio: ["ignore", output, output],
  });
}

async function post(url, body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
  return text;
}

/** Tries until it works, or the server has ended, or patience has. */
async function eventually(server, attempt) {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (server.exitCode !== null || server.signalCode !== null || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Milliseconds that `runs` runs take which start together, and of which each answers its steps. */
async function sample(ingress) {
  ran = 0;
  const begun = performance.now();
  const answers = await Promise.all(
    Array.from({ length: runs }, () => post(`http://${HOST}:${ingress}/bench/linear`, steps)),
  );
  const taken = performance.now() - begun;
  // At least once is what Restate promises of a step, so a repeated one is no error.
  if (answers.some((answer) => Number(answer) !== steps) || ran < runs * steps) {
    throw new Error(`restate ran ${ran} steps of ${runs * steps}`);
  }
  return taken;
}

async function bench(folder, log) {
  const endpoint = createHttp2Server(restate.createEndpointHandler({ services: [service] }));
  const [node, ingress, admin] = await freePorts(3);
  await new Promise((resolve, reject) => endpoint.once("error", reject).listen(0, HOST, resolve));
  const server = startServer(folder, log, [node, ingress, admin]);
  const ended = new Promise((resolve) => server.once("exit", resolve).once("error", resolve));
  const stop = async () => {
    server.kill("SIGTERM");
    await ended;
  };
  process.once("SIGTERM", () => stop().then(() => cleanAndExit(folder, 143)));
  process.once("SIGINT", () => stop().then(() => cleanAndExit(folder, 130)));
  try {
    const uri = `http://${HOST}:${endpoint.address().port}`;
    await eventually(server, () => post(`http://${HOST}:${admin}/deployments`, { uri }));
    for (let nth = 0; nth < WARM_UPS; nth++) await eventually(server, () => sample(ingress));
    const times = [];
    for (let nth = 0; nth < samples; nth++) times.push(await sample(ingress));
    return times;
  } finally {
    await stop();
    endpoint.close();
  }
}

function cleanAndExit(folder, code) {
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}

const folder = mkdtempSync(join(tmpdir(), "restate-"));
const log = join(folder, "server.log");
try {
  const times = (await bench(folder, log)).sort((a, b) => a - b);
  const nanoseconds = Math.round((times[Math.floor(times.length / 2)] * 1e6) / (runs * steps));
  const line = {
    bench: "durable_steps",
    engine: "restate",
    runs,
    steps,
    samples,
    median_ns_per_step: nanoseconds,
    steps_per_second: Math.floor(1e9 / nanoseconds),
  };
  console.log(JSON.stringify(line));
  cleanAndExit(folder, 0);
} catch (error) {
  console.error(`restate: ${error.stack}`);
  try {
    console.error(readFileSync(log, "utf8").split("\n").slice(-20).join("\n"));
  } catch {
    // It had not come to a log.
  }
  cleanAndExit(folder, 1);
}
