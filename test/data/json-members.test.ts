import test from 'ava';
import fc from 'fast-check';
import { jsonMembers } from '../../lib/data/json-members.js';

test('members come in order and as they are written', (t) => {
  const text = String.raw` { "id" : 1234567890123456789 , "a\u0062":[1, {"x":"}]"}, "\\" ] ,"e":{},"s":"\"",
    "n":-1.0e+3,"t":true,"z":null, "id":"again"	}`;
  t.deepEqual(jsonMembers(text), [
    { key: 'id', source: '1234567890123456789' },
    { key: 'ab', source: String.raw`[1, {"x":"}]"}, "\\" ]` },
    { key: 'e', source: '{}' },
    { key: 's', source: String.raw`"\""` },
    { key: 'n', source: '-1.0e+3' },
    { key: 't', source: 'true' },
    { key: 'z', source: 'null' },
    { key: 'id', source: '"again"' },
  ]);
  t.deepEqual(jsonMembers('{}'), []);
  t.deepEqual(jsonMembers(' { } '), []);
});

test('written again, the members are the object', (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), fc.nat(3), (object, indent) => {
      const members = jsonMembers(JSON.stringify(object, null, indent));
      const again = `{${members.map(({ key, source }) => `${JSON.stringify(key)}:${source}`).join(',')}}`;
      t.deepEqual(JSON.parse(again), JSON.parse(JSON.stringify(object)));
    }),
  );
});
