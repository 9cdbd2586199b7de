// Has the Worker's judgement of private mirrors decide the cases of a file, in Cloudflare's runtime, and prints the results:
// node access_cases.mjs MODULES WORKER CASES
// MODULES is the folder whose node_modules holds miniflare, WORKER that of the Worker's modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, worker, cases] = process.argv.slice(2);
const { Miniflare } = createRequire(join(modules, "package.json"))("miniflare");

const judging = `
  import { exchange, isRight, judge, matches, parseLogin, repositoryOf } from "./access.js";
  export default {
    async fetch(request) {
      const { key, access, hashes, globs, logins, requests } = await request.json();
      const guard = { key, access: new Map(Object.entries(access)), hashes: new Map(Object.entries(hashes)) };
      const token = async ({ authorization, scopes, now }) => {
        const login = parseLogin(authorization);
        return login && (await isRight(guard, login, now)) ? exchange(guard, login.name, scopes, now) : null;
      };
      return Response.json({
        globs: globs.map(({ glob, name }) => matches(glob, name)),
        logins: await Promise.all(logins.map(token)),
        requests: await Promise.all(
          requests.map(({ authorization, path, now }) => judge(guard, authorization, repositoryOf(path), now)),
        ),
      });
    },
  };
`;
const simulator = new Miniflare({
  modules: [
    { type: "ESModule", path: join(worker, "cases.js"), contents: judging },
    ...["access.js", "digest.js", "refusal.js"].map((name) => ({ type: "ESModule", path: join(worker, name) })),
  ],
  modulesRoot: worker,
  compatibilityDate: "2026-07-30",
});
const answer = await simulator.dispatchFetch("http://localhost/", { method: "POST", body: readFileSync(cases, "utf8") });
process.stdout.write(await answer.text());
await simulator.dispose();
