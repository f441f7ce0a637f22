import { expect } from 'chai';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { isLoopbackUrl, readClientSettings } from '../../src/settings/client-settings.ts';
import { makeScratchFolder } from '../support/scratch.ts';

describe('client settings', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await makeScratchFolder('writ-client-settings-');
    await mkdir(join(folder, '.writ'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const put = (name: string, text: string) => writeFile(join(folder, '.writ', name), text);

  it('fall back to this machine without a token', async () => {
    expect(await readClientSettings({ folder, environment: {} })).to.deep.equal({
      url: 'http://127.0.0.1:8080',
      urlSource: 'default',
    });
  });

  it('take address and token of the writ dev in this folder', async () => {
    await put('url', 'http://127.0.0.1:9080\n');
    await put('admin.token', 'writ_pat_1\n');
    const settings = await readClientSettings({ folder, environment: {} });
    expect(settings).to.deep.equal({ url: 'http://127.0.0.1:9080', urlSource: '.writ/url', token: 'writ_pat_1' });
  });

  it('let flags go before the environment, and that before the folder', async () => {
    await put('url', 'http://127.0.0.1:9080');
    const tokenFile = join(folder, 'other.token');
    await writeFile(tokenFile, 'from-flag');
    const environment = { WRIT_URL: 'http://env', WRIT_TOKEN: 'from-environment' };
    expect(await readClientSettings({ folder, environment })).to.include({
      url: 'http://env',
      token: 'from-environment',
    });
    const flags = await readClientSettings({ folder, environment, url: 'http://flag', tokenFile });
    expect(flags).to.include({ url: 'http://flag', token: 'from-flag', urlSource: '--url' });
  });

  it('never give the token of this folder to another machine', async () => {
    await put('admin.token', 'writ_pat_1');
    const settings = await readClientSettings({ folder, environment: { WRIT_URL: 'https://writ.example.org' } });
    expect(settings.token).to.equal(undefined);
  });

  it('never follow a folder to another machine', async () => {
    await put('url', 'https://attacker.example.org');
    const error = await readClientSettings({ folder, environment: { WRIT_TOKEN: 'mine' } }).catch(String);
    expect(error).to.match(/names another machine/);
  });

  it('read the token from a file, and refuse two sources', async () => {
    const WRIT_TOKEN_FILE = join(folder, 'token');
    await writeFile(WRIT_TOKEN_FILE, ' writ_svc_1\n');
    expect((await readClientSettings({ folder, environment: { WRIT_TOKEN_FILE } })).token).to.equal('writ_svc_1');
    const both = { WRIT_TOKEN_FILE, WRIT_TOKEN: 'x' };
    expect(await readClientSettings({ folder, environment: both }).catch(String)).to.match(/both set/);
  });

  it('refuse a token that is none, without showing it', async () => {
    const error = await readClientSettings({ folder, environment: { WRIT_TOKEN: 'pass word\r\nX: y' } }).catch(String);
    expect(error)
      .to.match(/holds is no token/)
      .and.not.include('word');
  });

  it('name the file that cannot be read', async () => {
    const environment = { WRIT_CACERT: join(folder, 'missing.pem') };
    expect(await readClientSettings({ folder, environment }).catch(String)).to.match(
      /missing\.pem cannot be read \(ENOENT\)/,
    );
  });

  it('know what leads to this machine', () => {
    for (const url of ['http://127.0.0.1:1', 'https://127.9.9.9', 'http://[::1]:8080', 'http://localhost']) {
      expect(isLoopbackUrl(url), url).to.equal(true);
    }
    for (const url of [
      'http://127.0.0.1.example.org',
      'http://localhost.example.org',
      'http://10.0.0.1',
      'http://[::2]',
      'x',
    ]) {
      expect(isLoopbackUrl(url), url).to.equal(false);
    }
  });
});
