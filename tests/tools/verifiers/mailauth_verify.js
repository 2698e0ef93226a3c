// Verifies every signature of every *.eml in a folder with mailauth: FOLDER RECORDS.json -> JSON.
'use strict';
const fs = require('fs');
const path = require('path');
const { dkimVerify } = require('mailauth/lib/dkim/verify');

async function main([folder, recordsPath]) {
  const records = JSON.parse(fs.readFileSync(recordsPath, 'utf8'));
  const resolver = async (name, type) => {
    if (type === 'TXT' && records[name]) return [[records[name]]];
    const error = new Error('not found');
    error.code = 'ENOTFOUND';
    throw error;
  };
  const results = {};
  for (const name of fs.readdirSync(folder).filter(n => n.endsWith('.eml')).sort()) {
    const found = await dkimVerify(fs.readFileSync(path.join(folder, name)), { resolver });
    results[name] = found.results.map(r => ({
      domain: r.signingDomain, selector: r.selector, algorithm: r.algo, result: r.status.result,
      why: r.status.comment || '',
      signed: ((r.signingHeaders || {}).keys || '').toLowerCase().replace(/\s/g, '').split(':'),
    }));
  }
  process.stdout.write(JSON.stringify(results));
}
main(process.argv.slice(2)).catch(error => { console.error(error); process.exit(1); });
