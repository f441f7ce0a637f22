/**
 * A bare route of Express that authenticates by bearer token and answers: what an integration would write that does nothing else. Its
 * argument: `{sha256: string[], answer: object}`, digests of the tokens that are good and what the route answers.
 */
import { createHash } from 'node:crypto';
import express from 'express';
import passport from 'passport';
import { Strategy } from 'passport-http-bearer';
import { serve } from './serve.mjs';

const { sha256, answer } = JSON.parse(process.argv[2]);
const good = new Map(sha256.map((digest, n) => [digest, { id: n }]));

passport.use(
  new Strategy((token, done) => done(null, good.get(createHash('sha256').update(token).digest('hex')) ?? false)),
);
const application = express();
application.disable('x-powered-by');
application.use(passport.initialize());
application.post(
  '/api/v1/tasks',
  passport.authenticate('bearer', { session: false }),
  express.json(),
  (_, response) => {
    response.status(202).json(answer);
  },
);
const server = application.listen(0, '127.0.0.1', () => {
  serve({ port: () => server.address().port });
});
