// RC-7: events reach the control plane at least once, in order, over restarts and outages; what there is no room for goes by class and is counted.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { RelayEvent } from '../../../common/relay-contract.ts'
import { EventDelivery } from '../../../mta/events/deliver-events.ts'
import { EventBuffer } from '../../../mta/events/event-buffer.ts'
import type { EventBufferDeps } from '../../../mta/events/event-buffer.ts'
import { bufferedLine, eventIds, eventOf, refusedLine } from '../../../mta/events/event-line.ts'
import { Disk } from '../../../mta/spool/disk.ts'
import { eventually } from '../../harness/wait.ts'

const folders: string[] = []
after(() => {
  for (const each of folders) rmSync(each, { recursive: true, force: true })
})

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'causeway-events-'))
  folders.push(made)
  return made
}

const log = createLog({ write: () => {}, level: 'error', now: Date.now })

function open(directory: string, more: Partial<EventBufferDeps> = {}): Promise<EventBuffer> {
  // Nothing is written before the test says so.
  return EventBuffer.open({
    directory,
    maxBytes: 2 ** 20,
    log,
    metrics: emptyMetrics(),
    now: Date.now,
    timer: () => () => {},
    ...more,
  })
}

/** As the journal writes it. */
function line(number: number, more = {}): string {
  return `${JSON.stringify({ time: '2026-11-28T10:00:00.000Z', event: 'accepted', queueId: `Q${number}`, n: number, ...more })}\n`
}

const numbersOf = (events: readonly RelayEvent[]): unknown[] => events.map(({ fields }) => fields['n'])

async function drained(buffer: EventBuffer): Promise<unknown[]> {
  const numbers: unknown[] = []
  for (let batch = await buffer.next(); batch !== undefined; batch = await buffer.next()) {
    numbers.push(...numbersOf(batch.events))
    await batch.delivered()
  }
  return numbers
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, index) => index)

test('an event is the line of the journal, with an id that sorts by time', () => {
  const event = eventOf('message', bufferedLine(eventIds()(Date.UTC(2026, 10, 28)), line(7)).trimEnd())
  assert.match(event?.id ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.deepEqual(
    { ...event, id: '' },
    {
      id: '',
      class: 'message',
      time: '2026-11-28T10:00:00.000Z',
      event: 'accepted',
      queueId: 'Q7',
      fields: { n: 7 },
    },
  )
  const newId = eventIds()
  // Ten thousand within a millisecond, and then the clock is set back.
  const ids = [1, ...Array.from({ length: 10_000 }, () => 1_800_000_000_000), 1_700_000_000_000].map(newId)
  assert.deepEqual(ids.toSorted(), ids)
  assert.equal(new Set(ids).size, ids.length)
})

test('a clock that is set back between two runs loses nothing and delivers in order', async () => {
  const directory = folder()
  const first = await open(directory, { now: () => 2_000_000_000_000 })
  for (const n of upTo(3)) first.add('message', line(n))
  first.add('audit', line(100))
  await first.close()
  const second = await open(directory, { now: () => 1_000_000_000_000 })
  for (const n of [3, 4]) second.add('message', line(n))
  await second.flush()
  const batch = await second.next(2)
  await batch?.delivered()
  assert.deepEqual(
    [...numbersOf(batch?.events ?? []), ...(await drained(second))].filter((n) => n !== 100),
    upTo(5),
  )
})

test('fields of more than 8 KiB lose what makes them long, not the event', () => {
  const to = Array.from({ length: 1000 }, (_, k) => `abcdefghijkl@domain${k}.example`)
  const event = eventOf('message', bufferedLine(eventIds()(0), line(1, { to, recipients: 1000 })).trimEnd())
  assert.deepEqual(event?.fields, { n: 1, recipients: 1000 })
})

test('what is added is handed over in order, in batches, and is gone once it is delivered', async () => {
  const directory = folder()
  const buffer = await open(directory)
  for (const n of upTo(1200)) buffer.add('message', line(n))
  await buffer.flush()
  const first = await buffer.next()
  assert.equal(first?.events.length, 500)
  assert.deepEqual(numbersOf((await buffer.next())?.events ?? []), upTo(500), 'not delivered yet: again')
  assert.deepEqual(await drained(buffer), upTo(1200))
  assert.equal(await buffer.next(), undefined)
  await buffer.close()
  assert.deepEqual(readdirSync(directory), ['state.json'])
})

test('classes are merged by time', async () => {
  let now = 1000
  const buffer = await open(folder(), { now: () => now })
  for (const n of upTo(9)) {
    now++
    buffer.add((['audit', 'message', 'metric'] as const)[n % 3] ?? 'message', line(n))
  }
  await buffer.flush()
  assert.deepEqual(await drained(buffer), upTo(9))
})

test('SF-7 files are for the relay alone', async () => {
  const directory = folder()
  const buffer = await open(directory)
  buffer.add('audit', refusedLine(0, '192.0.2.1', 'address-refused'))
  await buffer.flush()
  for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600)
  const [event] = (await buffer.next())?.events ?? []
  assert.deepEqual([event?.class, event?.event, event?.queueId], ['audit', 'client.refused', undefined])
  assert.deepEqual(event?.fields, { address: '192.0.2.1', reason: 'address-refused' })
})

test('over a restart nothing is lost, and what was delivered does not come again', async () => {
  const directory = folder()
  const first = await open(directory)
  for (const n of upTo(600)) first.add('message', line(n))
  await first.flush()
  await (await first.next())?.delivered()
  await first.close()
  const second = await open(directory)
  for (const n of [600, 601]) second.add('message', line(n))
  await second.flush()
  assert.deepEqual(await drained(second), upTo(602).slice(500))
})

test('a batch that was handed over and not acknowledged comes again with the same ids', async () => {
  const directory = folder()
  const first = await open(directory)
  for (const n of upTo(3)) first.add('message', line(n))
  await first.flush()
  const before = (await first.next())?.events.map(({ id }) => id)
  await first.close()
  const again = (await (await open(directory)).next())?.events.map(({ id }) => id)
  assert.deepEqual(again, before)
})

test('a line that a crash tore is passed over, and those after it are not lost', async () => {
  const directory = folder()
  const first = await open(directory)
  for (const n of upTo(3)) first.add('message', line(n))
  await first.close()
  const [name = ''] = readdirSync(directory).filter((file) => file.startsWith('message-'))
  const whole = readFileSync(join(directory, name))
  for (let cut = 1; cut < 60; cut += 7) {
    writeFileSync(join(directory, name), whole.subarray(0, whole.length - cut))
    const copy = folder()
    writeFileSync(join(copy, name), readFileSync(join(directory, name)))
    const second = await open(copy)
    second.add('message', line(9))
    await second.flush()
    assert.deepEqual(await drained(second), [0, 1, 9], `${cut} octets`)
  }
  appendFileSync(join(directory, name), '\0\0\0\0\n')
  assert.deepEqual(await drained(await open(directory)), [0, 1])
})

test('RC-7 when it is full the oldest metrics go first, then messages, audit last; what went is counted, over a restart too', async () => {
  const directory = folder()
  const maxBytes = 2 ** 20
  const buffer = await open(directory, { maxBytes })
  const size = () => readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  const fill = async (eventClass: 'metric' | 'message' | 'audit', events: number, from = 0) => {
    for (let n = from; n < from + events; n++) {
      buffer.add(eventClass, line(n, { pad: 'x'.repeat(900) }))
      if (n % 50 === 0) await buffer.flush()
    }
    await buffer.flush()
  }
  await fill('metric', 600)
  await fill('audit', 200)
  await fill('message', 400)
  assert.ok(size() <= maxBytes + 200)
  assert.deepEqual([buffer.dropped.message, buffer.dropped.audit], [0, 0])
  const { metric } = buffer.dropped
  assert.ok(metric > 0 && metric < 600, String(metric))
  await fill('message', 800, 400)
  assert.equal(buffer.dropped.metric, 600, 'all metrics went before any message did')
  assert.ok(buffer.dropped.message > 0)
  assert.equal(buffer.dropped.audit, 0)
  await fill('audit', 1500, 200)
  assert.equal(buffer.dropped.message, 1200)
  assert.ok(buffer.dropped.audit > 0)
  assert.ok(size() <= maxBytes + 200)
  await buffer.close()

  const again = await open(directory, { maxBytes })
  assert.deepEqual(again.dropped, buffer.dropped)
  const left = await drained(again)
  assert.equal(left.length + again.dropped.audit, 1700, 'what is not counted as dropped is there')
  assert.deepEqual(left, upTo(1700).slice(again.dropped.audit), 'the oldest went')
})

test('a disk that fails costs the events it was given, counted, and no more', async () => {
  const directory = folder()
  let isBroken = false
  const disk = new Disk(directory, {
    before: ({ call }) => (isBroken && (call === 'write' || call === 'sync') ? { error: new Error('EIO') } : undefined),
  })
  const buffer = await open(directory, { disk })
  buffer.add('message', line(0))
  await buffer.flush()
  isBroken = true
  buffer.add('message', line(1))
  await buffer.flush()
  assert.equal(buffer.dropped.message, 1)
  isBroken = false
  buffer.add('message', line(2))
  await buffer.flush()
  assert.deepEqual(await drained(buffer), [0, 2])
})

test('what comes faster than the disk takes it is dropped and counted: memory stays bounded', async () => {
  const buffer = await open(folder(), { maxBytes: 2 ** 30 })
  const many = 60_000
  for (const n of upTo(many)) buffer.add('message', line(n, { pad: 'y'.repeat(100) }))
  assert.ok(buffer.dropped.message > 0)
  await buffer.flush()
  assert.equal((await drained(buffer)).length + buffer.dropped.message, many)
})

test('RC-7 kill -9 while events are written loses at most what was not on disk yet, and spoils nothing', async () => {
  const directory = folder()
  const script = `
    import { EventBuffer } from ${JSON.stringify(new URL('../../../mta/events/event-buffer.ts', import.meta.url).href)}
    import { emptyMetrics } from ${JSON.stringify(new URL('../../../common/metrics.ts', import.meta.url).href)}
    import { createLog } from ${JSON.stringify(new URL('../../../common/log.ts', import.meta.url).href)}
    const log = createLog({ write: () => {}, level: 'error', now: Date.now })
    const buffer = await EventBuffer.open({ directory: process.argv[1], maxBytes: 2 ** 26, log, metrics: emptyMetrics(), now: Date.now, timer: () => () => {} })
    for (let n = 0; ; n++) {
      for (let k = 0; k < 50; k++) buffer.add('message', JSON.stringify({ time: '2026-11-28T10:00:00.000Z', event: 'accepted', n: n * 50 + k }) + '\\n')
      await buffer.flush()
      process.stdout.write(String((n + 1) * 50) + '\\n')
    }`
  for (const round of [1, 2, 3]) {
    const at = join(directory, String(round))
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script, at], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    await eventually('some events', () => (said.split('\n').length > 20 * round ? true : undefined))
    child.kill('SIGKILL')
    await once(child, 'close')
    const synced = Number(said.trimEnd().split('\n').at(-1))
    const numbers = await drained(await open(at))
    assert.ok(numbers.length >= synced, `${numbers.length} of at least ${synced}`)
    assert.deepEqual(numbers, upTo(numbers.length), 'in order, without a hole')
  }
})

/** A control plane that takes what it likes. */
function takingWith(answer: (events: readonly RelayEvent[]) => number | Error): {
  taken: RelayEvent[]
  post: (path: string, body: string) => Promise<{ status: number; text: string; serverTime: undefined }>
} {
  const taken: RelayEvent[] = []
  return {
    taken,
    async post(_, body) {
      const { events } = JSON.parse(body) as { events: RelayEvent[] }
      const status = answer(events)
      if (status instanceof Error) throw status
      if (status === 200) taken.push(...events)
      return { status, text: '', serverTime: undefined }
    },
  }
}

test('RC-7 over an outage everything arrives, in order, none of it dropped', async () => {
  const buffer = await open(folder())
  let isAway = true
  const client = takingWith(() => (isAway ? new Error('ECONNREFUSED') : 200))
  const delivery = new EventDelivery({ buffer, client, token: async () => 't', log, random: () => 0 })
  delivery.start()
  for (const n of upTo(700)) buffer.add('message', line(n))
  await buffer.flush()
  isAway = false
  for (const n of [700, 701]) buffer.add('audit', line(n))
  await buffer.flush()
  await eventually('all of them', () => (client.taken.length >= 702 ? true : undefined))
  assert.deepEqual(numbersOf(client.taken), upTo(702))
  await delivery.close()
})

test('one event that is refused for what it is goes, counted, and the others arrive', async () => {
  const buffer = await open(folder())
  const client = takingWith((events) => (events.some(({ fields }) => fields['n'] === 3) ? 400 : 200))
  const delivery = new EventDelivery({ buffer, client, token: async () => 't', log, random: () => 0 })
  for (const n of upTo(7)) buffer.add('message', line(n))
  await buffer.flush()
  delivery.start()
  await eventually('all the others', () => (client.taken.length >= 6 ? true : undefined))
  assert.deepEqual(numbersOf(client.taken), [0, 1, 2, 4, 5, 6])
  assert.equal(buffer.dropped.message, 1)
  await delivery.close()
})
