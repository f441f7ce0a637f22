/** The port to the authority that certifies nodes and listeners. */

export interface IssuedCertificate {
  /** The certificate and its chain up to the root, PEM. */
  certificatePem: string;
  notAfter: Date;
}

export interface Authority {
  /** The root certificate, PEM. */
  rootPem(): Promise<string>;
  /** Signs a PKCS #10 request (PEM). Subject and names in the request are not believed: `commonName` and `names` decide. */
  issue(request: {
    csrPem: string;
    commonName: string;
    names: readonly string[];
    usage: 'client' | 'server';
    lifetimeS: number;
  }): Promise<IssuedCertificate>;
}
