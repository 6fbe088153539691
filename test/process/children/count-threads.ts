/** Opens a session with as many threads as the argument says, and prints those it has, by its own word and by a loop's. */

import { loadNative } from '../../../lib/native/load.js';

const addon = loadNative();
const session = new addon.Session({ device: 'cpu', threads: Number(process.argv[2]) });
const { ours } = await session._threadCounts();
console.log(JSON.stringify({ threads: session.threads, ours }));
await session.dispose();
