#!/usr/bin/env node
// The command of that name, from a checkout.
import { run } from './albert-ner.js';

run(['convert', ...process.argv.slice(2)]);
