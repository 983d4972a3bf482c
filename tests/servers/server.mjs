// The OAuth 2.0 server that the tests run Gatepost against: the npm package oidc-provider over https on a free port.
//
//   node server.mjs CERTIFICATE.pem KEY.pem [CLIENT.pem]     (then: one line "issuer https://localhost:PORT" on stdout)
//
// CLIENT.pem is the certificate of an application that proves itself by private_key_jwt. Without it there is none.
//
// It keeps everything in memory. Anybody may log in under any address with any password, in the forms that the
// package brings along.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

// Nobody reads stdout behind the first line, and the package speaks there of pages that could look better.
console.info = console.error;

const [, , certificate, key, clientCertificate] = process.argv;
const seconds = (name, otherwise) => Number(process.env[name] ?? otherwise);

const personal = 'openid offline_access mail.smtp mail.pop mail.imap';
// Every mailbox at once, for an application alone. Dovecot lets a token with this scope into any mailbox.
const everyMailbox = 'mail.every';

// Compared to the last character, except for the port (RFC 8252 section 7.3).
const loopback = ['http://localhost', 'http://localhost/', 'http://127.0.0.1', 'http://127.0.0.1/'];

// The same application twice, held to one algorithm each.
const certified = (algorithm) => {
  const publicKey = new X509Certificate(readFileSync(clientCertificate)).publicKey;
  return {
    client_id: `gatepost-${algorithm}`,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: algorithm,
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), use: 'sig' }] },
    redirect_uris: [],
    grant_types: ['client_credentials'],
    response_types: [],
    scope: everyMailbox,
  };
};
const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code';

const configuration = {
  clients: [
    ...(clientCertificate ? ['PS256', 'RS256'].map(certified) : []),
    {
      // The same with a secret that goes into the header, form-encoded. RFC 6749 appendix A.2 lets it have printable ASCII.
      client_id: 'gatepost:basic',
      client_secret: '%:+ /&=~-secret-of-the-tests',
      token_endpoint_auth_method: 'client_secret_basic',
      redirect_uris: [],
      grant_types: ['client_credentials'],
      response_types: [],
      scope: everyMailbox,
    },
    {
      // Gatepost as an installed application (RFC 8252): no secret, PKCE, and any port of the loopback redirect.
      client_id: 'gatepost-native',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: loopback,
      grant_types: ['authorization_code', 'refresh_token', deviceCode],
      response_types: ['code'],
      scope: personal,
    },
    {
      // The same with a secret.
      client_id: 'gatepost-confidential',
      client_secret: 'confidential-secret-of-the-tests',
      application_type: 'native',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: loopback,
      grant_types: ['authorization_code', 'refresh_token', deviceCode],
      response_types: ['code'],
      scope: personal,
    },
    {
      // One whose device codes nobody can type in time.
      client_id: 'gatepost-hasty',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: loopback,
      grant_types: ['authorization_code', 'refresh_token', deviceCode],
      response_types: ['code'],
      scope: personal,
    },
    {
      // Gatepost as an application that the admin trusts with every mailbox.
      client_id: 'gatepost-service',
      client_secret: 'service-secret-of-the-tests',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: [],
      grant_types: ['client_credentials'],
      response_types: [],
      scope: everyMailbox,
    },
    {
      // Dovecot, which asks about every token that it is shown.
      client_id: 'dovecot',
      client_secret: 'dovecot-secret-of-the-tests',
      redirect_uris: [],
      grant_types: [],
      response_types: [],
    },
  ],
  scopes: [...personal.split(' '), everyMailbox],
  // Who consented is told in the id_token too, as Microsoft and Google do.
  conformIdTokenClaims: false,
  claims: { openid: ['sub', 'email', 'preferred_username'] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, preferred_username: id }),
  }),

  // What Dovecot reads in the answer to its introspection. A token that an application got for itself has no address;
  // Dovecot would take a missing name for a fault of ours, and ask to try again later.
  extraTokenClaims: (_context, token) => ({ username: token.accountId ?? token.clientId }),

  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_context, client) => client.clientId === 'dovecot' },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },

  // Every refresh token works once. The second use of one revokes the whole grant.
  rotateRefreshToken: true,
  issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),

  ttl: {
    AccessToken: seconds('ACCESS_TOKEN_SECONDS', 3600),
    AuthorizationCode: 60,
    ClientCredentials: seconds('ACCESS_TOKEN_SECONDS', 3600),
    DeviceCode: (_context, _code, client) => (client.clientId === 'gatepost-hasty' ? 1 : 600),
    Grant: 86_400,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: seconds('REFRESH_TOKEN_SECONDS', 86_400),
    Session: 86_400,
  },
  cookies: { keys: ['not a secret: nothing here outlives the test'] },
};

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('server_error', (_context, error) => console.error(error));
  provider.on('grant.error', (_context, error) => console.error(`token endpoint: ${error.error_detail ?? error}`));
  server.on('request', provider.callback());
  console.log(`issuer ${issuer}`);
});
