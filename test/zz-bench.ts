import { execFile } from 'node:child_process';
import { Agent, request } from 'node:http';
import express from 'express';
import passport from 'passport';
import { Strategy } from 'passport-http-bearer';
import { openDoor, noopTask } from './doors/http/fixture.ts';
import { stopTestPostgres } from './support/postgres.ts';
const agent = new Agent({ keepAlive: true, maxSockets: 32 });
const body = Buffer.from(JSON.stringify(noopTask));
function once(url: string, token: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const r = request(
      url,
      {
        method: 'POST',
        agent,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'content-length': body.length,
        },
      },
      (res) => {
        res.resume();
        res.on('end', () => {
          if (res.statusCode! >= 300) reject(new Error(String(res.statusCode)));
          else resolve();
        });
      },
    );
    r.on('error', reject);
    r.end(body);
  });
}
async function load(url: string, token: string, ms: number) {
  const cpu = process.cpuUsage();
  const n = await new Promise<number>((resolve) =>
    execFile(process.execPath, ['test/zz-client.mjs', url, token, String(ms)], (e, out) => resolve(Number(out))),
  );
  const c = process.cpuUsage(cpu);
  return `${((n / ms) * 1000).toFixed(0)}/s cpu ${((c.user + c.system) / n / 1000).toFixed(3)} ms`;
}
const door = await openDoor({ rateLimits: { perCredential: 1e9, perNetwork: 1e9 } });
const token = await door.token({ roles: ['operator'] });
const app = express();
const p = new passport.Passport();
p.use(new Strategy((t: string, done: any) => done(null, { id: t })));
app.post('/x', p.authenticate('bearer', { session: false }) as any, express.json(), (req, res) => {
  res.status(202).json({ ...req.body, id: 1 });
});
const server = app.listen(0, '127.0.0.1');
await new Promise((r) => server.once('listening', r));
const bare = `http://127.0.0.1:${(server.address() as any).port}/x`;
for (let i = 0; i < 4; i++) {
  if (!process.env.ONLY) console.log('bare', await load(bare, token, 1500));
  console.log('door', await load(`${door.url}/api/v1/tasks`, token, 1500));
}
server.close();
agent.destroy();
await door.close();
await stopTestPostgres();
process.exit(0);
