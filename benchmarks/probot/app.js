// A Probot app that verifies and acknowledges comments, and does nothing: node app.js <port> <webhook secret>
import { generateKeyPairSync } from "node:crypto";
import { Probot, Server } from "probot";

const [port, secret] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "pkcs1", format: "pem" },
});
process.env.LOG_LEVEL = "fatal";
const server = new Server({
  host: "127.0.0.1",
  port: Number(port),
  webhookPath: "/webhook",
  Probot: Probot.defaults({ appId: 1, privateKey, secret }),
});
await server.load((app) => app.on("issue_comment.created", async () => {}));
await server.start();
