// Starts the GitHub emulator: node emulator.mjs <package folder> <seed file> <port>
// Through its programming interface, since its command needs a newer Node than Debian has.
import { readFileSync } from "node:fs";

const [folder, seed, port] = process.argv.slice(2);
const { createEmulator } = await import(`${folder}/dist/api.js`);
await createEmulator({ service: "github", port: Number(port), seed: JSON.parse(readFileSync(seed)) });
