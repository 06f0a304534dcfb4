// Members of a room while a front is killed: says `ready`, and ends well if presence is right again.

import { agree, makeMember } from './members.mjs';
import { connectedClient, emulationAt, fronts, nextEvent, startBalancer } from './support.mjs';

const [room, reading] = process.argv.slice(2);
const SEEN_MS = 1_000;
const GONE_MS = 8_000;
const COUNT = 6;

const undone = [];
const run = { after: (undo) => undone.push(undo) };

const { url } = await startBalancer(run, ...fronts);
const members = Array.from({ length: COUNT }, () => makeMember(run, url, room, reading));
// One after the other, so that some are on each front.
for (const member of members) {
  member.subscribe();
  member.client.connect();
  await member.ready();
}
// Commands by way of the front that dies would die with it.
const survivor = await connectedClient(run, fronts[1], {
  emulationEndpoint: emulationAt(fronts[1]),
});
await agree(survivor, room, members, SEEN_MS);
process.stdout.write('ready\n');

await Promise.any(members.map(({ client }) => nextEvent(client, 'connecting')));
const deadline = Date.now() + GONE_MS;
await Promise.all(members.map((member) => member.ready()));
await agree(survivor, room, members, deadline - Date.now());

undone.forEach((undo) => undo());
process.exit(0);
