/** The canonical form of hosts and URLs, over a corpus of the forms that have fooled URL filters. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { canonicalAddress, canonicalHost, parseNetwork, parseTarget } from '../../src/domain/target.ts';

const refusedHosts = [
  ...[
    '',
    '.',
    '..',
    'a..b',
    '-a.example',
    'a-.example',
    'a b',
    'a\tb',
    'a\0b',
    'a/b',
    'a@b',
    'a?b',
    'a#b',
    'a\\b',
    'a／b.example',
    'a？b.example',
    'a＃b',
    'a：80',
    'a＠b',
    'a:80',
    '[::1]',
  ],
  ...['127.1', '127.0.1', '2130706433', '0x7f000001', '0x7f.0.0.1', '0177.0.0.1', '0127.0.0.1', '127.0.0.01'],
  ...['127.0.0.1.', '127.0.0.1%00', '127.0.0.256', '1.2.3.4.5', 'example.1', 'example.0x1', '0', '0x', '00'],
  ...[
    '１２７.0.0.1',
    '127。0。0。1',
    '①②⑦.0.0.1',
    'ex%61mple.com',
    '%31%32%37.0.0.1',
    'xn--a',
    `${'a'.repeat(64)}.example`,
  ],
  ...[
    'fe80::1%eth0',
    '::1%lo',
    ':::1',
    '::ffff:127.0.0.1.',
    'a'.repeat(256),
    `${'a.'.repeat(127)}aa`,
    'a\u202eb.example',
  ],
];

const acceptedHosts: readonly (readonly [string, string])[] = [
  ['Example.COM', 'example.com'],
  ['example.com.', 'example.com'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['_dmarc.example.com', '_dmarc.example.com'],
  ['localhost', 'localhost'],
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '::1'],
  ['2001:DB8:0:0::1', '2001:db8::1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::FFFF:a00:1', '10.0.0.1'],
  ['0:0:0:0:0:ffff:ffff:ffff', '255.255.255.255'],
];

const refusedUrls = [
  ...['', 'example.com', '//example.com', '/path', 'ftp://example.com', 'file:///etc/passwd', 'gopher://a/', 'data:,a'],
  ...[
    'javascript:alert(1)',
    'http:example.com',
    'http:/example.com',
    'http:///example.com',
    'http://',
    'https://:443/',
  ],
  ...['http://user@example.com/', 'http://user:pw@example.com/', 'http://example.com@127.0.0.1/', 'http://@127.0.0.1/'],
  ...['http://127.0.0.1\\@example.com/', 'http://example.com\\.evil.example/', 'http:\\\\127.0.0.1/', 'http://a\\b/'],
  ...['http://127.1/', 'http://2130706433/', 'http://0x7f000001/', 'http://0177.0.0.1/', 'http://0x7f.1/', 'http://0/'],
  ...[
    'http://127.0.0.1./',
    'http://%31%32%37.0.0.1/',
    'http://１２７.0.0.1/',
    'http://127。0。0。1/',
    'http://①②⑦.0.0.1/',
  ],
  ...['http://[fe80::1%25eth0]/', 'http://[::1/', 'http://::1/', 'http://[127.0.0.1]/', 'http://exa mple.com/'],
  ...[
    'http://example.com\t/',
    'http://exam\nple.com/',
    ' http://example.com/',
    'http://example.com/\r\nHost: a',
    'http://a\0/',
  ],
  ...['http://example.com:99999/', 'http://example.com:80:80/', 'http://example.com:a/', 'http://ex%2fample.com/'],
];

const acceptedUrls: readonly (readonly [string, string, number])[] = [
  ['http://example.com', 'example.com', 80],
  ['HTTPS://Example.COM/a?b#c', 'example.com', 443],
  ['https://example.com:8443/', 'example.com', 8443],
  ['http://[::1]:8080/x', '::1', 8080],
  ['http://[::ffff:127.0.0.1]/', '127.0.0.1', 80],
  ['http://[::ffff:7f00:1]/', '127.0.0.1', 80],
  ['http://127.0.0.1/', '127.0.0.1', 80],
  ['http://bücher.example/', 'xn--bcher-kva.example', 80],
  ['http://example.com./', 'example.com', 80],
  ['http://example.com/?u=http://a@b/', 'example.com', 80],
];

describe('target', () => {
  for (const host of refusedHosts) {
    it(`refuses the host ${JSON.stringify(host.slice(0, 40))}`, () => {
      expect(canonicalHost(host)).to.have.property('problem');
    });
  }

  for (const [host, canonical] of acceptedHosts) {
    it(`reads the host ${host} as ${canonical}`, () => {
      expect(canonicalHost(host)).to.have.property('host', canonical);
    });
  }

  for (const url of refusedUrls) {
    it(`refuses the URL ${JSON.stringify(url)}`, () => {
      expect(parseTarget('url', url, 'url')).to.have.property('problem');
    });
  }

  for (const [url, host, port] of acceptedUrls) {
    it(`reads the URL ${url} as ${host} port ${port.toString()}`, () => {
      expect(parseTarget('url', url, 'url')).to.include({ host, port, value: url });
    });
  }

  it('gives the same host for every spelling of one IPv6 address', () => {
    for (const text of ['2001:db8::1', '2001:0db8:0:0:0:0:0:1', '2001:DB8::0:1']) {
      expect(canonicalAddress(text)).to.deep.equal({ host: '2001:db8::1', family: 6 });
    }
  });

  it('refuses networks that are none', () => {
    for (const text of ['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '10.0.0.0/', '10.0.0.0/8/8', '::/129', '10/8']) {
      expect(parseNetwork(text), text).to.have.property('problem');
    }
    expect(parseNetwork('::ffff:10.0.0.0/104')).to.have.property('problem');
    expect(parseNetwork('10.0.0.0/8')).to.deep.equal({ host: '10.0.0.0', family: 4, prefix: 8 });
  });

  it('says what to write instead', () => {
    expect(canonicalHost('0x7f.1')).to.have.property('problem').that.includes('four decimal numbers');
    const user = parseTarget('url', 'http://user:pw@example.com/', 'url');
    expect(user).to.have.property('problem').that.includes('take it out');
  });

  it('takes only addresses as a target of kind ip', () => {
    expect(parseTarget('ip', 'localhost', 'server')).to.have.property('problem');
    expect(parseTarget('ip', '::ffff:10.0.0.1', 'server')).to.have.property('host', '10.0.0.1');
  });
});
