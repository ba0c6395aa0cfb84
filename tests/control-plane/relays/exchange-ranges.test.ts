// Addresses of Exchange Online: read from Microsoft's list, kept 30 days after they went, told to the relays when they change. (SP-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import { CLOUDS } from '../../../control-plane/microsoft/clouds.ts'
import { endpointListUrl, parseEndpointList } from '../../../control-plane/relays/exchange-ranges.ts'
import { STREAM_TIMING } from '../../../control-plane/relays/relay-stream.ts'
import { exchangeRangeReconciler } from '../../../control-plane/relays/refresh-exchange-ranges.ts'
import { withFleet } from './fleet.ts'

const set = (more: Record<string, unknown>) => ({
  id: 10,
  serviceArea: 'Exchange',
  urls: ['*.mail.protection.outlook.com'],
  tcpPorts: '25',
  ...more,
})

const lists: [list: unknown, ranges: string[] | undefined, why: string][] = [
  [
    [set({ ips: ['40.92.0.0/15', '2a01:111:f400::/48', '52.238.78.88/32'] })],
    ['2a01:111:f400::/48', '40.92.0.0/15', '52.238.78.88/32'],
    'the mail set',
  ],
  [
    [
      set({ ips: ['40.92.0.0/15'], tcpPorts: '25,443' }),
      set({ ips: ['1.2.3.0/24'], tcpPorts: '80,443' }),
      set({ ips: ['5.6.7.0/24'], tcpPorts: '587' }),
    ],
    ['40.92.0.0/15'],
    'sets of other ports send no mail to others',
  ],
  [
    [set({ ips: ['40.92.0.0/15'] }), { id: 1, urls: ['outlook.office.com'] }],
    ['40.92.0.0/15'],
    'a set without addresses',
  ],
  [[set({ ips: ['0.0.0.0/0'] })], undefined, 'everybody'],
  [[set({ ips: ['40.0.0.0/4'] })], undefined, 'a sixteenth of everybody'],
  [[set({ ips: ['::/8'] })], undefined, 'the same in IPv6'],
  [[set({ ips: ['40.92.0.0/15', 'x'] })], undefined, 'one that is no range: the list is not what we take it for'],
  [[set({ ips: [] })], undefined, 'none: nobody could send any more'],
  [[], undefined, 'an empty list'],
  [{ error: 'x' }, undefined, 'no list'],
  [
    [set({ ips: Array.from({ length: 2_001 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`) })],
    undefined,
    'more than there can be',
  ],
]
for (const [list, ranges, why] of lists) {
  test(`SP-3: a list gives ${ranges?.length ?? 'nothing'}: ${why}`, () =>
    assert.deepEqual(parseEndpointList(JSON.stringify(list)), ranges))
}

test('the list of each cloud is asked for by its own address, as Microsoft documents it', () => {
  const urls = CLOUDS.map((cloud) => endpointListUrl(cloud))
  assert.equal(new Set(urls.map(({ pathname }) => pathname)).size, 4)
  for (const url of urls) {
    assert.equal(url.host, 'endpoints.office.com')
    assert.match(url.searchParams.get('ClientRequestId') ?? '', /^[0-9a-f-]{36}$/)
  }
  assert.equal(parseEndpointList('<html>'), undefined)
})

test('SP-3: additions reach the relays at once, removals after 30 days, a list that can not be read changes nothing', (t) =>
  withFleet(t, { streams: { timing: { ...STREAM_TIMING, acknowledgeMs: 10 } } }, async (it) => {
    const { db } = it.api.database
    await it.tenant('contoso', ['contoso.example'])
    // It says nothing, for its clock stands still.
    const relay = await it.relay({ isMute: true })
    await relay.open()
    const allow = async () => (await relay.untilVersion((await it.versions()).snapshot)).settings.allow
    assert.deepEqual(await allow(), [], 'SP-3: an empty list means nobody')
    const asked: string[] = []
    let answer: () => Promise<{ status: number; body: Buffer }> = () => Promise.reject(new Error('away'))
    const lines: string[] = []
    const log = createLog({ write: (line) => void lines.push(line), level: 'info', now: it.clock.now })
    const get = (url: URL) => {
      asked.push(url.pathname)
      return answer()
    }
    const pass = () => exchangeRangeReconciler({ db, get, log, now: it.clock.now }).reconcile()
    const listed =
      (...ips: string[]) =>
      () =>
        Promise.resolve({ status: 200, body: Buffer.from(JSON.stringify([set({ ips })])) })
    const { settings } = await it.versions()
    await pass()
    answer = () => Promise.resolve({ status: 503, body: Buffer.from('busy') })
    await pass()
    assert.equal((await it.versions()).settings, settings)
    assert.deepEqual(asked, ['/endpoints/Worldwide', '/endpoints/Worldwide'], 'only the cloud that somebody is in')

    answer = listed('40.92.0.0/15', '52.100.0.0/14')
    await pass()
    assert.deepEqual(await allow(), ['40.92.0.0/15', '52.100.0.0/14'])
    await pass()
    assert.equal(asked.length, 3, 'once a day')

    const day = async (days: number, ...ips: string[]) => {
      it.clock.offsetMs = days * 86_400_000 + 1_000
      answer = listed(...ips)
      await pass()
    }
    await day(1, '40.92.0.0/15', '104.47.0.0/17')
    assert.deepEqual(await allow(), ['104.47.0.0/17', '40.92.0.0/15', '52.100.0.0/14'])
    await day(29.9, '40.92.0.0/15', '104.47.0.0/17')
    assert.equal((await allow()).length, 3)
    await day(31.1, '40.92.0.0/15', '104.47.0.0/17')
    assert.deepEqual(await allow(), ['104.47.0.0/17', '40.92.0.0/15'])
    const audit = await withScope(db, { organisation: INSTALLATION }, (tx) =>
      rowsOf<{ payload: string }>(
        tx,
        sql`select payload from audit_event where action = 'exchange-ranges.changed' order by sequence`,
      ),
    )
    assert.deepEqual(
      audit.map(({ payload }) => {
        const { added, removed } = JSON.parse(payload) as { added: number; removed: number }
        return [added, removed]
      }),
      [
        [2, 0],
        [1, 0],
        [0, 1],
      ],
    )
  }))

test('a process asks again after a quarter of an hour at the earliest', async (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    let asked = 0
    const log = createLog({ write: () => {}, level: 'error', now: it.clock.now })
    const reconciler = exchangeRangeReconciler({
      db: it.api.database.db,
      get: () => {
        asked++
        return Promise.reject(new Error('away'))
      },
      log,
      now: it.clock.now,
    })
    await reconciler.reconcile()
    await reconciler.reconcile()
    it.clock.offsetMs = 15 * 60_000
    await reconciler.reconcile()
    assert.equal(asked, 2)
  }))
