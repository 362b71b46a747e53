// Asks Perfetto's own trace processor about traces.
//
//     node trace_processor.mjs FOLDER TRACE... < queries.json
//
// FOLDER is .tools/viewers/trace-processor. The queries are an object, SQL by name. Prints a line of JSON for each trace:
// an object with the rows that each query finds, as arrays. Integers beyond 2^53 come as text.
//
// The engine is the one of ui.perfetto.dev: a worker that speaks to the page through a message port. What it expects of a
// browser is put in its place here.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';

const [folder, ...traces] = process.argv.slice(2);

/** Starts the engine with this process as its worker scope. */
async function startWorker() {
  const wasm = readFileSync(join(folder, 'trace_processor.wasm'));
  globalThis.self = globalThis;
  globalThis.WorkerGlobalScope = class {};
  globalThis.location = { href: 'http://trace-processor/' };
  globalThis.XMLHttpRequest = class {
    open() {}
    send() {
      this.response = wasm;
    }
  };
  // The engine compiles a module that is a memory section with a 64-bit memory, to see whether it can. It must not: the
  // package has the 32-bit build only.
  const { Module } = WebAssembly;
  WebAssembly.Module = function (bytes) {
    if (bytes[8] === 5 && bytes[11] === 4) throw new WebAssembly.CompileError('no 64-bit memory');
    return new Module(bytes);
  };
  vm.runInThisContext(readFileSync(join(folder, 'engine_bundle.node.js'), 'utf8'));
  // It finishes in steps that wait for their turn.
  await new Promise((resolve) => setTimeout(resolve, 50));
}

async function openEngine() {
  await startWorker();
  const { port1, port2 } = new MessageChannel();
  globalThis.onmessage({ data: port1 });
  const { EngineBase } = await import(pathToFileURL(join(folder, 'engine.mjs')).href);
  class Engine extends EngineBase {
    rpcSendRequestBytes(bytes) {
      port2.postMessage(bytes);
    }
  }
  const engine = new Engine();
  port2.onmessage = ({ data }) => engine.onRpcResponseBytes(data);
  return { engine, close: () => port2.close() };
}

function rows(result) {
  const columns = result.columns();
  const rows = [];
  for (const row = result.iter({}); row.valid(); row.next()) {
    rows.push(columns.map((column) => plain(row.get(column))));
  }
  return rows;
}

function plain(value) {
  if (typeof value !== 'bigint') return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
}

const queries = JSON.parse(readFileSync(0, 'utf8'));
console.warn = () => {};
const { engine, close } = await openEngine();
for (const trace of traces) {
  await engine.resetTraceProcessor({});
  await engine.parse(new Uint8Array(readFileSync(trace)));
  await engine.notifyEof();
  const answers = {};
  for (const [name, sql] of Object.entries(queries)) {
    answers[name] = rows(await engine.query(sql));
  }
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
close();
