// Idles with imapflow, which compresses where it may, while a second session appends a message; fetches it and deletes it:
//
//   node imapflow_round_trip.mjs HOST PORT implicit|starttls CA_FILE USER PASSWORD METHOD MESSAGE_FILE TO_FILE
//
// METHOD is one of imapflow's: AUTH=PLAIN, AUTH=LOGIN or LOGIN.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// The packages are installed beside the servers.
const { ImapFlow } = createRequire(new URL('../servers/', import.meta.url))('imapflow');

const [, , host, port, tls, caFile, user, pass, loginMethod, messageFile, toFile] = process.argv;

async function logIn() {
  const client = new ImapFlow({
    host,
    port: Number(port),
    secure: tls === 'implicit',
    ...(tls === 'starttls' && { doSTARTTLS: true }),
    tls: { ca: readFileSync(caFile) },
    auth: { user, pass, loginMethod },
    clientInfo: { name: 'Gatepost tests' },
    disableAutoIdle: true,
    logger: false,
  });
  await client.connect();
  return client;
}

const idling = await logIn();
const other = await logIn();
for (const client of [idling, other]) {
  assert(client.capabilities.has('COMPRESS=DEFLATE'), 'the provider offers to compress');
  // imapflow keeps it to itself, and has it once the server has said OK to COMPRESS.
  assert(client._deflate, 'imapflow compresses');
}

const { exists } = await idling.mailboxOpen('INBOX');
assert.equal(exists, 0);
const told = once(idling, 'exists');
const idle = idling.idle();
await other.append('INBOX', readFileSync(messageFile));
const [notice] = await told;
assert.equal(notice.count, 1);

const { source } = await idling.fetchOne('1', { source: true });
await idle;
writeFileSync(toFile, source);
assert.equal(await idling.messageDelete('1'), true);
assert.equal(idling.mailbox.exists, 0);
await idling.logout();
await other.logout();
