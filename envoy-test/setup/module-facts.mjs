// module-facts.mjs FILE HASH: says a module's size, digest and imports.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const [file, hash] = process.argv.slice(2);
const bytes = readFileSync(file);
const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
const number = (n) => n.toLocaleString("en-US");

console.log(`module   ${file}`);
console.log(`built of ${hash}`);
console.log(`size     ${number(bytes.length)} bytes, ${number(gzipSync(bytes, { level: 9 }).length)} gzipped`);
console.log(`sha256   ${createHash("sha256").update(bytes).digest("hex")}`);
const from = Map.groupBy ? Map.groupBy(imports, (i) => i.module) : imports.reduce((m, i) => m.set(i.module, [...(m.get(i.module) ?? []), i]), new Map());
for (const [module, names] of from) console.log(`imports  ${module}: ${names.map((i) => i.name).sort().join(" ")}`);
if (!imports.length) console.log("imports  none");
