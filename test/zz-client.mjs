import { Agent, request } from 'node:http';
const [url, token, ms] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 32 });
const body = Buffer.from(JSON.stringify({ tool: 'noop', action: 'run', payload: {} }));
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': body.length };
const once = () =>
  new Promise((resolve, reject) => {
    const r = request(url, { method: 'POST', agent, headers }, (res) => {
      res.resume();
      res.on('end', resolve);
    });
    r.on('error', reject);
    r.end(body);
  });
const end = performance.now() + Number(ms);
let n = 0;
await Promise.all(
  Array.from({ length: 32 }, async () => {
    while (performance.now() < end) {
      await once();
      n++;
    }
  }),
);
console.log(n);
process.exit(0);
