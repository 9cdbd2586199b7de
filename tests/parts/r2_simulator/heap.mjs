// Prints the bytes that the Worker holds after a garbage collection: node heap.mjs MODULES INSPECTOR_PORT
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, port] = process.argv.slice(2);
const WebSocket = createRequire(join(modules, "package.json"))("ws");

// The simulators of R2 and of the cache are isolates of their own.
const isolates = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const worker = isolates.find(({ id }) => id.startsWith("core:user"));
const socket = new WebSocket(worker.webSocketDebuggerUrl);
socket.on("open", () => {
  socket.send(JSON.stringify({ id: 1, method: "HeapProfiler.collectGarbage" }));
  socket.send(JSON.stringify({ id: 2, method: "Runtime.getHeapUsage" }));
});
socket.on("message", (message) => {
  const { id, result } = JSON.parse(message);
  if (id !== 2) return;
  console.log(result.usedSize + result.embedderHeapUsedSize + result.backingStorageSize);
  socket.close();
});
