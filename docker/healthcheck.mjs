/** Whether the orchestrator in this container answers: ends with status 0 where `/api/v1/health` does. */
import { readFileSync } from 'node:fs';
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';

const { HTTP_LISTEN = '127.0.0.1:8080', HTTP_TLS_CERTFILE = '' } = process.env;
const port = Number(HTTP_LISTEN.slice(HTTP_LISTEN.lastIndexOf(':') + 1));
const options = { host: '127.0.0.1', port, path: '/api/v1/health', timeout: 4000 };
// The listener is this very one if it has this very certificate; what that is called does not matter here.
const tls =
  HTTP_TLS_CERTFILE === ''
    ? undefined
    : {
        ca: readFileSync(HTTP_TLS_CERTFILE),
        allowPartialTrustChain: true,
        checkServerIdentity: () => undefined,
      };

const request = (tls === undefined ? getHttp : getHttps)({ ...options, ...tls }, (response) => {
  response.resume();
  process.exitCode = response.statusCode === 200 ? 0 : 1;
});
request.on('timeout', () => request.destroy(new Error('no answer')));
request.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
