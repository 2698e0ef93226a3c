// All DKIM signatures of all messages in a folder by mailauth (npm). See dkim_verifiers.py for what goes
// in and out; it says where mailauth is by NODE_PATH.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { dkimVerify } = require('mailauth/lib/dkim/verify');

const [folder, recordsPath] = process.argv.slice(2);
const keyOf = name => name.replace(/\.$/, '').toLowerCase();
const records = new Map(
    Object.entries(JSON.parse(fs.readFileSync(recordsPath, 'utf8'))).map(([name, text]) => [keyOf(name), text])
);

// As node's dns.resolve: a list of records, each a list of strings.
const resolver = async (name, type) => {
    const text = records.get(keyOf(name));
    if (text === undefined || type !== 'TXT') {
        throw Object.assign(new Error(`no ${type} record at ${name}`), { code: 'ENOTFOUND' });
    }
    return [text.match(/.{1,255}/gs) || ['']];
};

const messageOf = name => {
    const data = fs.readFileSync(path.join(folder, name));
    return data.includes('\r\n') ? data : Buffer.from(data.toString('latin1').replace(/\n/g, '\r\n'), 'latin1');
};

const main = async () => {
    const names = fs.readdirSync(folder).filter(name => name.endsWith('.eml'));
    for (const name of names.sort()) {
        const { results } = await dkimVerify(messageOf(name), { resolver });
        const signatures = results
            .filter(found => found.signingDomain)
            .map(found => ({
                domain: found.signingDomain,
                selector: found.selector,
                algorithm: found.algo,
                result: found.status.result,
                why: found.status.result === 'pass' ? '' : found.status.comment || '',
                signed: found.signingHeaders.keys.split(':').map(header => header.trim().toLowerCase())
            }));
        console.log(JSON.stringify({ message: name, signatures }));
    }
};

main().catch(error => {
    console.error(error.stack);
    process.exit(1);
});
