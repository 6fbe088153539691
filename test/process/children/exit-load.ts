/** Loads the addon in an `exit` handler, for the first time, and tries to open a session there. Argument: "end" or "exit". */

import { writeSync } from 'node:fs';
import { loadNative } from '../../../lib/native/load.js';

process.on('exit', () => {
  let code = 'none';
  try {
    new (loadNative().Session)({ device: 'cpu', threads: 1 });
  } catch (error) {
    code = (error as { code: string }).code;
  }
  writeSync(1, `late session: ${code}\n`);
});
if (process.argv[2] === 'exit') process.exit(0);
