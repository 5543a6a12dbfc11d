// An identity provider for tests: `oidc-provider` with the accounts, the client and the keys that the first argument names, as JSON. It signs in
// whoever `login_hint`-less requests name in the environment of the test: POST /test/account. `POST /test/keys` rotates the keys.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'

import Provider from 'oidc-provider'

const settings = JSON.parse(process.argv[2])
const issuer = `http://127.0.0.1:${settings.port}`
let account = ''
let generation = 0
let provider

function keys() {
  generation += 1
  const key = (type, options, alg) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid: `${alg}-${generation}`, alg, use: 'sig',
  })
  return { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] }
}

function begin() {
  provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: keys(),
    cookies: { keys: ['of a test'] },
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_context, id) => settings.accounts[id] && {
      accountId: id, claims: () => ({ sub: id, email_verified: true, ...settings.accounts[id] }),
    },
    loadExistingGrant: async (context) => {
      const grant = new context.oidc.provider.Grant({
        accountId: context.oidc.session.accountId, clientId: context.oidc.client.clientId,
      })
      grant.addOIDCScope('openid email profile groups')
      await grant.save()
      return grant
    },
  })
}

async function read(request) {
  let text = ''
  for await (const part of request) text += part
  return text
}

begin()
createServer(async (request, response) => {
  if (request.url === '/test/account') {
    account = await read(request)
    response.writeHead(204).end()
  } else if (request.url === '/test/keys') {
    begin()
    response.writeHead(204).end()
  } else if (request.url.startsWith('/interaction/')) {
    await provider.interactionFinished(request, response, { login: { accountId: account } }, { mergeWithLastSubmission: false })
  } else {
    provider.callback()(request, response)
  }
}).listen(settings.port, '127.0.0.1', () => console.log('ready'))
