// The JavaScript side of the demo: `jose` signs tokens, `dpop` makes the proofs of possession of a client (RFC 9449).
// Reads one JSON question a line and answers it with one line. The clients' keys stay in this process.
//
//     node wallet.mjs FOLDER-OF-NODE-MODULES

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

globalThis.crypto ??= (await import("node:crypto")).webcrypto; // node 18
const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const [jose, dpop] = [await load("jose"), await load("dpop")];

const pairs = new Map();

// The key pair of this client, made when it is first asked for.
async function pairOf(client) {
  if (!pairs.has(client)) pairs.set(client, await dpop.generateKeyPair("ES256"));
  return pairs.get(client);
}

const answers = {
  thumbprint: async ({ client }) => dpop.calculateThumbprint((await pairOf(client)).publicKey),
  proof: async ({ client, method, url, nonce, token }) =>
    dpop.generateProof(await pairOf(client), url, method, nonce ?? undefined, token),
  async sign({ jwk, header, claims }) {
    const key = await jose.importJWK(jwk, header.alg);
    return new jose.SignJWT(claims).setProtectedHeader(header).sign(key);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...question } = JSON.parse(line);
  console.log(JSON.stringify(await answers[ask](question)));
}
