// Builds what `{prefix}/client*.js` serves from flask_sealed/js: `node tests/js/build.mjs FOLDER`.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { minify } from "terser";

const source = fileURLToPath(new URL("../../flask_sealed/js/", import.meta.url));
const folder = process.argv[2];

/** Loaded when they are used; each of them takes the core's modules from client.js. */
const PARTS = {
  agreement: "parts/agreement.js",
  transfers: "parts/transfers.js",
  detours: "parts/detours.js",
  padding: "parts/padding.js",
  eventstream: "parts/eventstream.js",
  given: "parts/given.js",
  password: "password.js",
};

const isCore = (path) => /^\.{1,2}\/(core\/.*|sealed\.js)$/.test(path);

/** What parts import from the core, each name once. */
function takenFromCore() {
  const files = [...readdirSync(join(source, "parts")).map((name) => `parts/${name}`), "password.js"];
  const texts = files.map((path) => readFileSync(join(source, path), "utf8"));
  const found = texts.flatMap((text) => [...text.matchAll(/^import \{([^}]+)\} from "\.{1,2}\/(core\/\w+\.js)";/gm)]);
  const names = new Map(found.flatMap(([, list, path]) => list.split(",").map((name) => [name.trim(), path])));
  return Array.from(names, ([name, path]) => `export { ${name} } from "./${path}";`);
}

/** Says where the other files are, once they are served side by side. */
const beside = (isElsewhere, nameOf) => ({
  name: "beside",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\./ }, ({ path, kind }) =>
      isElsewhere(path, kind) ? { path: nameOf(path), external: true } : undefined,
    ),
});

async function make(name, entry, plugin) {
  const stdin = { contents: entry, resolveDir: source, sourcefile: name };
  const settings = { bundle: true, format: "esm", target: "es2022", minify: true, write: false, logLevel: "error" };
  const { outputFiles } = await build({ ...settings, stdin, plugins: plugin ? [plugin] : [] });
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3 } });
  writeFileSync(join(folder, name), `${code}\n`);
}

const lazily = beside((_, kind) => kind === "dynamic-import", (path) => `./client-${basename(path)}`);
const above = beside(isCore, () => "./client.js");
await make("client.js", ['export * from "./sealed.js";', ...takenFromCore()].join("\n"), lazily);
for (const [name, path] of Object.entries(PARTS)) await make(`client-${name}.js`, `export * from "./${path}";`, above);
// A service worker may not import when it likes, so it has all in one file.
await make("client-sw.js", 'export * from "./sealed-sw.js";');
