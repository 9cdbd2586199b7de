// Serves Cloudflare's R2 simulator: node serve.mjs MODULES PORT STATE ACCESS_KEY SECRET_KEY BUCKET...
// MODULES is the folder whose node_modules holds miniflare, STATE a folder for the objects.
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, port, state, accessKeyId, secretAccessKey, ...buckets] = process.argv.slice(2);
const { Miniflare } = createRequire(join(modules, "package.json"))("miniflare");

const simulator = new Miniflare({
  modules: true,
  script: "export default { fetch() { return new Response('ready') } }",
  host: "127.0.0.1",
  port: Number(port),
  r2Persist: state,
  r2Buckets: Object.fromEntries(
    buckets.map((id) => [id.toUpperCase().replaceAll("-", "_"), { id, s3Credentials: { accessKeyId, secretAccessKey } }]),
  ),
});

// It ends its child on SIGTERM by itself.
await simulator.ready;
