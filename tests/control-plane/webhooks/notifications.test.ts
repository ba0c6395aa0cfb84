// Mail on chosen events: to whom, saying what, over a real SMTP server. (control-plane.md §2)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { SMTPServer } from 'smtp-server'
import { createMailer } from '../../../control-plane/webhooks/mailer.ts'
import { eventually } from '../../harness/wait.ts'
import { subscriptions } from './subscriptions.ts'

interface ReceivedMail {
  readonly from: string
  readonly to: readonly string[]
  readonly text: string
}

/** @param replyTo  code for a recipient; undefined: taken */
async function mailServer(
  t: TestContext,
  replyTo: (address: string, n: number) => number | undefined = () => undefined,
): Promise<{ url: string; mails: ReceivedMail[] }> {
  const mails: ReceivedMail[] = []
  let recipients = 0
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    onRcptTo({ address }, _session, done) {
      const code = replyTo(address, recipients++)
      done(code === undefined ? null : Object.assign(new Error('no'), { responseCode: code }))
    },
    onData(stream, { envelope }, done) {
      let text = ''
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
      stream.on('end', () => {
        const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address
        mails.push({ from, to: envelope.rcptTo.map(({ address }) => address), text })
        done()
      })
    },
  })
  server.on('error', () => {})
  const listener = server.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.after(() => new Promise<void>((resolve) => server.close(resolve)))
  return { url: `smtp://127.0.0.1:${(listener.address() as AddressInfo).port}`, mails }
}

const body = { events: ['relay.*'], recipients: ['ops@contoso.example', 'night@contoso.example'] }

test('an event that was chosen is mailed to its people, without names in it, and nobody sees the others', async (t) => {
  const { url, mails } = await mailServer(t)
  const it = await subscriptions(t, createMailer({ url, from: 'causeway@contoso.example' }))
  const { id, key } = await it.organisation()
  const project = await it.project(id, 'Secret merger')
  const made = await it.request('POST', `/organizations/${id}/notifications`, body, { key })
  assert.equal(made.status, 201)
  await it.publish(id, project, 'relay.stale', { relay: 'rly_1' })
  await it.publish(id, project, 'mapping.revised', { revision: 1 })
  await eventually('mail has come', () => (mails.length > 0 ? true : undefined))
  const [mail] = mails
  assert.deepEqual([mail?.from, mail?.to], ['causeway@contoso.example', body.recipients])
  assert.match(mail?.text ?? '', /^Subject: Causeway: relay\.stale\r$/m)
  assert.match(mail?.text ?? '', /^Auto-Submitted: auto-generated\r$/m)
  assert.match(mail?.text ?? '', /^Message-ID: <dlv_[0-9a-f]{24}@causeway\.example>\r$/m)
  assert.match(mail?.text ?? '', /^relay: rly_1\r$/m)
  assert.ok(!/ops@|night@|Secret/.test(mail?.text ?? ''))
  assert.equal(mails.length, 1)
})

test('what the server puts off is sent again, what it refuses is not, and what came of it is listed', async (t) => {
  const { url, mails } = await mailServer(t, (address, n) =>
    address.startsWith('ops') && n < 2 ? 451 : address.startsWith('gone') ? 550 : undefined,
  )
  const it = await subscriptions(t, createMailer({ url, from: 'causeway@contoso.example' }))
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/notifications`
  const late = await it.request('POST', path, { ...body, recipients: ['ops@contoso.example'] }, { key })
  await it.publish(id, undefined, 'relay.stale')
  await eventually('it is sent', async () => {
    await it.hasten()
    return mails.length > 0 ? true : undefined
  })
  const deliveries = async (notification: string) =>
    (await it.request('GET', `${path}/${notification}/deliveries`, undefined, { key })).body.items
  await eventually('it is noted', async () =>
    (await deliveries(late.body.id))[0].state === 'delivered' ? true : undefined,
  )
  await it.request('PATCH', `${path}/${late.body.id}`, { recipients: ['gone@contoso.example'] }, { key })
  await it.publish(id, undefined, 'relay.stale')
  const [refused] = await eventually('it is refused', async () => {
    const items = await deliveries(late.body.id)
    return items[0].state === 'failed' ? items : undefined
  })
  assert.deepEqual([refused.lastFault, refused.attempts], ['smtp-550', 1])
  const figures = await it.metrics.metrics()
  for (const outcome of ['delivered', 'failed'])
    assert.ok(figures.includes(`causeway_deliveries_total{kind="notification",outcome="${outcome}"} 1\n`), outcome)
})

test('recipients are sealed at rest and read by administrators only; other organisations see nothing', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const project = await it.project(id)
  const path = `/projects/${project}/notifications`
  const made = await it.request('POST', path, body, { key })
  assert.deepEqual(made.body.recipients, body.recipients)
  const stored = await sql<{ sealed: Buffer }>`select recipients_sealed as sealed from notification`.execute(
    it.database.owner.db,
  )
  assert.ok(!stored.rows[0]?.sealed.includes('ops@'))
  const one = `${path}/${made.body.id}`
  assert.deepEqual((await it.request('GET', path, undefined, { key })).body.items[0].recipients, body.recipients)
  assert.equal((await it.request('GET', one, undefined, { key: (await it.member(id, 'auditor')).key })).status, 403)
  assert.equal((await it.request('GET', one, undefined, { key: theirs.key })).status, 404)
  for (const recipients of [['not an address'], ['a@b.example', 'A@b.example'], [], ['x@localhost']])
    assert.equal((await it.request('POST', path, { ...body, recipients }, { key })).status, 400, recipients.join())
  await it.publish(id, project, 'relay.stale')
  const [undeliverable] = await eventually('without a mail server it says so', async () => {
    const { items } = (await it.request('GET', `${one}/deliveries`, undefined, { key })).body
    return items[0]?.state === 'failed' ? items : undefined
  })
  assert.equal(undeliverable.lastFault, 'no-mail-server')
  assert.equal((await it.request('DELETE', one, undefined, { key })).status, 204)
})

test('the mailer: TLS or nothing, but on this machine; a server that is away is for later', async () => {
  const away = createMailer({ url: 'smtp://127.0.0.1:1', from: 'a@b.example' })
  const mail = { messageId: 'x@y', to: ['c@d.example'], subject: 's', text: 't' }
  assert.deepEqual(await away(mail), { kind: 'later', fault: 'esocket' })
  const unknown = createMailer({ url: 'smtp://mail.example', from: 'a@b.example', resolve: () => Promise.resolve([]) })
  assert.equal((await unknown(mail)).kind, 'later')
})

test('the mailer: a server elsewhere that offers no TLS gets no mail', async (t) => {
  const { url, mails } = await mailServer(t)
  const remote = new URL(url)
  remote.hostname = 'mail.example'
  const mailer = createMailer({ url: remote.href, from: 'a@b.example', resolve: () => Promise.resolve(['127.0.0.1']) })
  const result = await mailer({ messageId: 'x@y', to: ['c@d.example'], subject: 's', text: 't' })
  assert.equal(result.kind, 'later')
  assert.deepEqual(mails, [])
})
