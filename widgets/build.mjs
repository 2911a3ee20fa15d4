// One command makes every bundle: one ESM and one CSS file a widget, and the script of the stand-alone page.
// manifest.json records the sha256 of every source of each bundle; a test compares it with the sources, so that a
// bundle that is older than its source is found without Node.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as esbuild from "esbuild";
import { minify } from "terser";

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = parseArgs({
  options: {
    out: { type: "string", default: join(here, "..", "workbench", "widgets", "static") },
    watch: { type: "boolean", default: false },
  },
});
const out = resolve(args.out);
const common = ["build.mjs", "package-lock.json"];

const names = readdirSync(join(here, "src"))
  .filter((name) => name !== "kit" && existsSync(join(here, "src", name, "index.ts")))
  .sort();

const options = names.map((name) => ({
  name,
  build: {
    entryPoints: [
      { in: join("src", name, "index.ts"), out: name },
      ...(existsSync(join(here, "src", name, "style.css")) ? [{ in: join("src", name, "style.css"), out: name }] : []),
    ],
    absWorkingDir: here,
    outdir: out,
    bundle: true,
    // The page's script is no module: it runs from a file that is opened from disk.
    format: name === "page" ? "iife" : "esm",
    target: "es2022",
    minify: true,
    charset: "utf8",
    legalComments: "inline",
    metafile: true,
    logLevel: "warning",
  },
}));

/** What esbuild leaves is 2 % longer than it has to be: it puts no function where it is called once. */
async function shorten(path, module) {
  const { code } = await minify(readFileSync(path, "utf8"), { module, ecma: 2020, compress: { passes: 3 } });
  writeFileSync(path, code);
}

const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

mkdirSync(out, { recursive: true });
if (args.watch) {
  for (const { build } of options) await (await esbuild.context({ ...build, logLevel: "info" })).watch();
} else {
  const manifest = {};
  for (const { name, build } of options) {
    const { metafile } = await esbuild.build(build);
    const inputs = Object.keys(metafile.inputs).filter((path) => !path.includes("node_modules"));
    manifest[name] = Object.fromEntries([...inputs, ...common].sort().map((path) => [path, sha256(join(here, path))]));
    for (const output of Object.keys(metafile.outputs)) {
      const path = join(here, output);
      if (path.endsWith(".js")) await shorten(path, build.format === "esm");
      console.log(`${relative(here, path)}  ${(statSync(path).size / 1000).toFixed(1)} kB`);
    }
  }
  writeFileSync(join(out, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}
