// Read receipts, as mailparser reads them and as the relay's engine rewrites them (RFC 8098, R71).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileTable, DEFAULT_POLICY, rewriteMessage } from '../../../rewrite-rules/index.ts'
import { composeReceipt } from '../../../sandbox/people/compose-receipt.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'
import { ALICE, DANA, NOW_MS, STYLES, TOKEN, addressesOf, heading, partOf, secondOpinion } from './composed.ts'

const READ = {
  messageId: '<two@example.net>',
  subject: 'Zählung',
  sentMs: NOW_MS - 60_000,
  originalRecipient: 'asmith@contoso.com',
}

for (const style of STYLES) {
  test(`a receipt names reader, message and disposition (${style})`, async () => {
    const content = composeReceipt(style, heading({ subject: 'Read: Zählung' }), READ, TOKEN)
    const mail = await secondOpinion(content)
    assert.deepEqual(addressesOf(mail.from), [ALICE])
    assert.deepEqual(addressesOf(mail.to), [DANA])
    assert.match(
      mail.headers.get('content-type') instanceof Object ? JSON.stringify(mail.headers.get('content-type')) : '',
      /multipart\/report.*disposition-notification/,
    )
    assert.match(mail.text ?? '', /Your message\n\n {3}To: Alice Smith <alice@contoso\.com>\n {3}Subject: Zählung/)
    assert.match(
      mail.text ?? '',
      /sent on Sun, 29 Nov 2026 09:59:00 \+0000 was read on Sun, 29 Nov 2026 10:00:00 \+0000/,
    )
    const notification = partOf(mail, 'message/disposition-notification') ?? ''
    assert.match(notification, /^Final-Recipient: rfc822; ?alice@contoso\.com\r$/im)
    assert.match(notification, /^Original-Recipient: rfc822;asmith@contoso\.com\r$/m)
    assert.match(notification, /^Original-Message-ID: <two@example\.net>\r$/m)
    assert.match(notification, /^Disposition: [a-z-]+\/MDN-sent-[a-z]+; displayed\r?$/im)
  })

  test(`a rewritten receipt names the presented reader in header and report (R71, ${style})`, async () => {
    const content = composeReceipt(
      style,
      heading(),
      { ...READ, originalRecipient: undefined, sentMs: undefined },
      TOKEN,
    )
    const { bytes } = rewriteMessage(content, {
      direction: 'out',
      table: compileTable(EXAMPLE_TABLE),
      policy: DEFAULT_POLICY,
      smtpUtf8: false,
    })
    const mail = await secondOpinion(Buffer.from(bytes))
    assert.equal(addressesOf(mail.from)[0]?.address, 'alice.smith@fabrikam.com')
    assert.match(
      partOf(mail, 'message/disposition-notification') ?? '',
      /^Final-Recipient: rfc822; ?alice\.smith@fabrikam\.com\r$/im,
    )
  })
}
