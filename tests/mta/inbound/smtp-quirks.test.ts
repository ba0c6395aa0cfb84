// What we replace in smtp-server must still be there after an update: a renamed method would leave the package's own behaviour in place.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { SMTPServer } from 'smtp-server'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js'
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js'
import { REPLACED } from '../../../mta/inbound/smtp-quirks.ts'

const CLASSES = { SMTPConnection, SMTPServer, SMTPStream }

for (const name of ['SMTPConnection', 'SMTPServer', 'SMTPStream'] as const) {
  test(`smtp-server still has what we replace in ${name}`, () => {
    for (const method of REPLACED[name]) {
      assert.equal(typeof Reflect.get(CLASSES[name].prototype, method), 'function', `${name}.${method}`)
    }
  })
}

test('the parser is still made by _createParser, in the constructor, and fed by pipe', () => {
  const source = readFileSync(createRequire(import.meta.url).resolve('smtp-server/lib/smtp-connection.js'), 'utf8')
  assert.match(source, /this\._parser = this\._createParser\(\)/)
  assert.match(source, /this\._socket\.pipe\(this\._parser\)/)
  assert.match(source, /this\._parser\.isClosed = true/)
  assert.match(source, /close\(\) \{[^}]*this\._socket\.end\(\)/)
  assert.match(source, /!this\._upgrading && this\._socket/)
})

test('the version is the one that was read (stack.md §5, SC-1): look at smtp-quirks.ts again before changing it here', () => {
  const manifest = createRequire(import.meta.url).resolve('smtp-server/package.json')
  assert.equal((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version, '3.21.6')
})
