#!/usr/bin/env node
// relaybench: end-to-end load driver for an SMTP relay (see README.md beside this file).
// Plain Node (20 or later), no dependencies. One run prints one JSON line.
import net from 'node:net'
import tls from 'node:tls'
import fs from 'node:fs'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const HELP = `usage: relaybench.mjs --relay HOST:PORT --sink HOST:PORT [options]
  --relay HOST:PORT    the relay under test (where mail is injected)
  --sink HOST:PORT     where this tool listens; the relay must be configured to deliver there
  --size BYTES         body size (4096)          --count N       messages (5000)
  --sessions N         parallel sessions (20)    --per-conn N    messages per connection, 0 = all (0)
  --rcpts N            recipients per message (1)
  --starttls           inject over STARTTLS (certificate not checked); sessions do not resume
  --pipeline           send MAIL/RCPT/DATA in one write (default: one command at a time)
  --gen node|smtp-source      load generator (node)
  --sink-impl node|smtp-sink  sink (node); smtp-sink gives no duplicate, rewrite or latency data
  --sink-latency MS    sink waits this long before every reply (0): imitates a remote server
  --sink-starttls FILE sink offers STARTTLS; FILE holds key and certificate in PEM
  --sink-nopipe        sink does not announce PIPELINING
  --sink-expect-dkim   count messages that arrive without a DKIM-Signature header
  --from-domain D      sender domain (old.example)     --to-domain D    recipient domain (old.example)
  --pool N             distinct local parts user0..userN-1 (100000)
  --expect-domain D    addresses in RCPT TO, MAIL FROM, From: and To: must have been rewritten to D
  --corpus FILE        use this message (CRLF) instead of the made one; From:/To:/Message-ID are put in front
  --pid P[,P]          root pids of the relay's process trees: CPU and memory are read from /proc
  --cpuacct DIR        a cpuacct (v1) or v2 cgroup holding the relay: CPU from it, for relays that double-fork
  --timeout S          give up after S seconds in all (300)  --stall S  or S without a delivery (20)
  --label TEXT         copied to the output`

const args = {}
for (let i = 2; i < process.argv.length; i++) {
  const a = process.argv[i]
  if (!a.startsWith('--')) {
    console.error(HELP)
    process.exit(2)
  }
  const k = a.slice(2)
  if (['starttls', 'pipeline', 'help', 'sink-nopipe', 'sink-expect-dkim'].includes(k)) args[k] = true
  else args[k] = process.argv[++i]
}
if (args.help || !args.relay || !args.sink) {
  console.error(HELP)
  process.exit(2)
}
const num = (k, d) => (args[k] === undefined ? d : Number(args[k]))
const cfg = {
  size: num('size', 4096),
  count: num('count', 5000),
  sessions: num('sessions', 20),
  perConn: num('per-conn', 0),
  rcpts: num('rcpts', 1),
  pool: num('pool', 100000),
  timeout: num('timeout', 300),
  stall: num('stall', 20),
  gen: args.gen ?? 'node',
  sinkImpl: args['sink-impl'] ?? 'node',
  sinkLatency: num('sink-latency', 0),
  fromDomain: args['from-domain'] ?? 'old.example',
  toDomain: args['to-domain'] ?? 'old.example',
}
const hp = (s) => {
  const i = s.lastIndexOf(':')
  return { host: s.slice(0, i), port: Number(s.slice(i + 1)) }
}
const relay = hp(args.relay),
  sinkAddr = hp(args.sink)
const now = () => performance.timeOrigin + performance.now()
const pct = (arr, p) => {
  if (!arr.length) return null
  const s = Float64Array.from(arr).toSorted()
  return +s[Math.min(s.length - 1, Math.floor(p * s.length))].toFixed(2)
}
const CRLF = Buffer.from('\r\n'),
  EOD = Buffer.from('\r\n.\r\n')

// ---------------------------------------------------------------- sink
function runSink() {
  const seen = new Uint8Array(cfg.count + 1)
  let delivered = 0,
    dup = 0,
    unknown = 0,
    unrewritten = 0,
    unsigned = 0,
    conns = 0,
    bytes = 0,
    last = 0,
    badSample = null
  const lat = []
  const expect = args['expect-domain'] ? '@' + args['expect-domain'].toLowerCase() : null
  const secure = args['sink-starttls']
    ? tls.createSecureContext({
        key: fs.readFileSync(args['sink-starttls']),
        cert: fs.readFileSync(args['sink-starttls']),
      })
    : null
  const report = () =>
    process.send?.({
      t: 'sink',
      delivered,
      dup,
      unknown,
      unrewritten,
      unsigned,
      conns,
      bytes,
      last,
      badSample,
      e2e_p50_ms: pct(lat, 0.5),
      e2e_p99_ms: pct(lat, 0.99),
      cpu: process.cpuUsage(),
    })
  const done = (st) => {
    const h = st.head
    let bad = st.envBad
    const m = /^X-Bench-Id: (\d+) ([\d.]+)/im.exec(h)
    last = now()
    if (!m) unknown++
    else {
      const id = +m[1]
      if (seen[id]) dup++
      else {
        seen[id] = 1
        delivered++
        lat.push(last - Number(m[2]))
      }
    }
    if (expect) {
      for (const name of ['From', 'To']) {
        const f = new RegExp('^' + name + ':([^\\r\\n]*(?:\\r?\\n[ \\t][^\\r\\n]*)*)', 'im').exec(h)
        if (!f || !f[1].toLowerCase().includes(expect)) bad = true
      }
      if (bad) {
        unrewritten++
        badSample ??= h.slice(0, 600)
      }
    }
    if (args['sink-expect-dkim'] && !/^DKIM-Signature:/im.test(h)) unsigned++
  }
  const handle = (sock) => {
    let data = false,
      buf = null,
      st = null,
      tail = Buffer.alloc(0)
    const reply = (s) => {
      if (cfg.sinkLatency) setTimeout(() => sock.write(s), cfg.sinkLatency)
      else sock.write(s)
    }
    const onData = (chunk) => {
      let out = ''
      let b = buf ? Buffer.concat([buf, chunk]) : chunk
      buf = null
      let pos = 0
      while (pos < b.length) {
        if (!data) {
          const e = b.indexOf(10, pos)
          if (e < 0) {
            buf = b.subarray(pos)
            break
          }
          const line = b.latin1Slice(pos, e > pos && b[e - 1] === 13 ? e - 1 : e)
          pos = e + 1
          const v = line.slice(0, 4).toUpperCase()
          if (v === 'EHLO')
            out +=
              '250-sink.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n' +
              (args['sink-nopipe'] ? '' : '250-PIPELINING\r\n') +
              (secure && !sock.encrypted ? '250-STARTTLS\r\n' : '') +
              '250 SIZE 209715200\r\n'
          else if (v === 'HELO' || v === 'RSET' || v === 'NOOP') out += '250 ok\r\n'
          else if (v === 'MAIL') {
            st = { head: '', full: false, envBad: expect ? !line.toLowerCase().includes(expect) : false }
            out += '250 2.1.0 ok\r\n'
          } else if (v === 'RCPT') {
            if (expect && !line.toLowerCase().includes(expect)) st.envBad = true
            out += '250 2.1.5 ok\r\n'
          } else if (v === 'DATA') {
            data = true
            tail = CRLF
            out += '354 go\r\n'
          } else if (v === 'STAR' && secure) {
            sock.removeListener('data', onData)
            sock.write('220 go\r\n')
            const ts = new tls.TLSSocket(sock, { isServer: true, secureContext: secure })
            ts.on('error', () => {})
            handle(ts)
            return
          } else if (v === 'QUIT') {
            sock.end(out + '221 bye\r\n')
            return
          } else out += '500 what\r\n'
        } else {
          // end of data: a match across the seam of two chunks, or inside this one
          let end = -1,
            eod = 0
          const seam = Buffer.concat([tail, b.subarray(pos, pos + 4)])
          const sIdx = seam.indexOf(EOD)
          if (sIdx >= 0) {
            end = pos
            eod = pos + (sIdx + 5 - tail.length)
          } else {
            const i = b.indexOf(EOD, pos)
            if (i >= 0) {
              end = i + 2
              eod = i + 5
            }
          }
          const stop = end >= 0 ? end : b.length
          if (!st.full) {
            st.head += b.latin1Slice(pos, Math.min(stop, pos + 16384))
            const he = st.head.indexOf('\r\n\r\n')
            if (he >= 0) {
              st.head = st.head.slice(0, he + 2)
              st.full = true
            } else if (st.head.length > 65536) st.full = true
          }
          bytes += stop - pos
          if (end >= 0) {
            data = false
            done(st)
            st = null
            pos = eod
            out += '250 2.0.0 ok\r\n'
          } else {
            const t = Buffer.concat([tail, b.subarray(Math.max(pos, b.length - 4))])
            tail = Buffer.from(t.subarray(Math.max(0, t.length - 4)))
            pos = b.length
          }
        }
      }
      if (out) reply(out)
    }
    sock.on('data', onData)
    sock.on('error', () => {})
    return sock
  }
  const srv = net.createServer({ noDelay: true }, (s) => {
    conns++
    handle(s)
    s.write('220 sink.example ESMTP\r\n')
  })
  srv.listen({ port: sinkAddr.port, host: sinkAddr.host, backlog: 1024 }, () => process.send?.({ t: 'ready' }))
  const tick = setInterval(report, 250)
  process.on('message', (m) => {
    if (m === 'stop') {
      clearInterval(tick)
      report()
      setTimeout(() => process.exit(0), 20)
    }
  })
  process.on('disconnect', () => process.exit(0))
}

// ---------------------------------------------------------------- generator
function makeBody() {
  if (args.corpus) {
    let b = fs.readFileSync(args.corpus)
    if (!b.subarray(-2).equals(CRLF)) b = Buffer.concat([b, CRLF])
    return Buffer.from(b.toString('latin1').replace(/^\./gm, '..'), 'latin1')
  }
  const line = 'The quick brown fox jumps over the lazy dog; pack my box with five dozen li\r\n'
  const n = Math.max(1, Math.floor(cfg.size / line.length))
  return Buffer.from('MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n' + line.repeat(n))
}
function runGen() {
  const body = Buffer.concat([makeBody(), Buffer.from('.\r\n')])
  let next = 0,
    accepted = 0,
    rejected = 0,
    errors = 0,
    active = 0,
    firstErr = null
  const ack = [],
    conn = []
  let lastAck = 0
  const t0 = now()
  const report = (fin) =>
    process.send?.({
      t: 'gen',
      accepted,
      rejected,
      errors,
      firstErr,
      t0,
      lastAck,
      cpu: process.cpuUsage(),
      ...(fin ? { ack_p50_ms: pct(ack, 0.5), ack_p99_ms: pct(ack, 0.99), conn_p50_ms: pct(conn, 0.5) } : {}),
    })
  const tick = setInterval(report, 500)
  const finish = () => {
    clearInterval(tick)
    report(true)
    setTimeout(() => process.exit(0), 50)
  }
  process.on('message', (m) => {
    if (m === 'stop') finish()
  })
  const session = () => {
    if (next >= cfg.count) return
    active++
    let raw = net.connect({ ...relay, noDelay: true }),
      sock = raw,
      state = 'greet',
      acc = '',
      sent = 0,
      id = 0,
      tEod = 0,
      rc = 0,
      closed = false,
      pend = 0
    const tc = now()
    let secured = false
    const end = (err) => {
      if (closed) return
      closed = true
      if (err) {
        errors++
        firstErr ??= String(err)
      }
      sock.destroy()
      active--
      if (errors > 1000) {
        finish()
        return
      }
      if (next < cfg.count) setImmediate(session)
      else if (active === 0) finish()
    }
    const start = () => {
      if (next >= cfg.count || (cfg.perConn && sent >= cfg.perConn)) {
        state = 'quit'
        sock.write('QUIT\r\n')
        return
      }
      id = next++
      sent++
      rc = 0
      const mail = `MAIL FROM:<user${id % cfg.pool}@${cfg.fromDomain}>\r\n`
      if (args.pipeline) {
        pend = cfg.rcpts + 1
        let s = mail
        for (let i = 0; i < cfg.rcpts; i++) s += rcpt(i)
        state = 'pipe'
        sock.write(s + 'DATA\r\n')
      } else {
        state = 'mail'
        sock.write(mail)
      }
    }
    const rcpt = (i) => `RCPT TO:<user${(id * 7 + 13 + i) % cfg.pool}@${cfg.toDomain}>\r\n`
    const send = () => {
      state = 'eod'
      const h = `X-Bench-Id: ${id} ${now().toFixed(3)}\r\nMessage-ID: <b${id}.${process.pid}@bench.example>\r\nDate: ${new Date().toUTCString().replace('GMT', '+0000')}\r\nFrom: "User ${id % cfg.pool}" <user${id % cfg.pool}@${cfg.fromDomain}>\r\nTo: <user${(id * 7 + 13) % cfg.pool}@${cfg.toDomain}>\r\nSubject: bench message ${id}\r\n`
      sock.cork()
      sock.write(h, 'latin1')
      sock.write(body)
      sock.uncork()
      tEod = now()
    }
    const onLine = (code) => {
      switch (state) {
        case 'greet':
          if (code !== 220) return end('greeting ' + code)
          state = 'ehlo'
          sock.write('EHLO bench.example\r\n')
          break
        case 'ehlo':
          if (code !== 250) return end('EHLO ' + code)
          if (args.starttls && !secured) {
            state = 'tls'
            sock.write('STARTTLS\r\n')
          } else {
            conn.push(now() - tc)
            start()
          }
          break
        case 'tls': {
          if (code !== 220) return end('STARTTLS ' + code)
          raw.removeAllListeners('data')
          sock = tls.connect({ socket: raw, rejectUnauthorized: false, servername: 'relay.example' }, () => {
            secured = true
            state = 'ehlo'
            sock.write('EHLO bench.example\r\n')
          })
          wire(sock)
          break
        }
        case 'mail':
          if (code !== 250) return fail(code)
          state = 'rcpt'
          sock.write(rcpt(rc))
          break
        case 'rcpt':
          if (code !== 250 && code !== 251) return fail(code)
          if (++rc < cfg.rcpts) sock.write(rcpt(rc))
          else {
            state = 'data'
            sock.write('DATA\r\n')
          }
          break
        case 'data':
          if (code !== 354) return fail(code)
          send()
          break
        case 'pipe':
          if (pend-- > 0) {
            if (code >= 400) return end('pipelined ' + code)
          } else if (code === 354) send()
          else return fail(code)
          break
        case 'eod':
          if (code === 250) {
            accepted++
            lastAck = now()
            ack.push(lastAck - tEod)
            start()
          } else {
            rejected++
            firstErr ??= 'end of data ' + code
            start()
          }
          break
        case 'reset':
          start()
          break
        case 'quit':
          end()
          break
      }
    }
    const fail = (code) => {
      rejected++
      firstErr ??= state + ' ' + code
      state = 'reset'
      sock.write('RSET\r\n')
    }
    const wire = (s) => {
      s.on('data', (d) => {
        acc += d.latin1Slice()
        let e
        while (!closed && (e = acc.indexOf('\n')) >= 0) {
          const l = acc.slice(0, e)
          acc = acc.slice(e + 1)
          if (l[3] !== '-') onLine(+l.slice(0, 3))
        }
      })
      s.on('error', (e) => end(e))
      s.on('close', () => end(state === 'quit' ? undefined : 'closed in ' + state))
    }
    wire(raw)
  }
  for (let i = 0; i < Math.min(cfg.sessions, cfg.count); i++) session()
  process.on('disconnect', () => process.exit(0))
}

// ---------------------------------------------------------------- process tree accounting
const TICK = 100
function cgroupCpu(dir) {
  try {
    return +fs.readFileSync(dir + '/cpuacct.usage', 'latin1') / 1e9
  } catch {
    return +/usage_usec (\d+)/.exec(fs.readFileSync(dir + '/cpu.stat', 'latin1'))[1] / 1e6
  }
}
function tree(roots) {
  const kids = new Map(),
    stat = new Map()
  for (const d of fs.readdirSync('/proc')) {
    if (d < '0' || d > '9~') continue
    try {
      const s = fs.readFileSync(`/proc/${d}/stat`, 'latin1')
      const f = s.slice(s.lastIndexOf(')') + 2).split(' ')
      const ppid = +f[1]
      stat.set(+d, (+f[11] + +f[12] + +f[13] + +f[14]) / TICK)
      ;(kids.get(ppid) ?? kids.set(ppid, []).get(ppid)).push(+d)
    } catch {
      /* gone */
    }
  }
  const out = []
  const q = [...roots]
  while (q.length) {
    const p = q.pop()
    if (!stat.has(p)) continue
    out.push(p)
    q.push(...(kids.get(p) ?? []))
  }
  const extra = args.cpuacct
    ? fs
        .readFileSync(args.cpuacct + '/cgroup.procs', 'latin1')
        .trim()
        .split('\n')
        .map(Number)
        .filter((p) => stat.has(p) && !out.includes(p))
    : []
  return {
    pids: [...out, ...extra],
    cpu: args.cpuacct ? cgroupCpu(args.cpuacct) : out.reduce((a, p) => a + stat.get(p), 0),
  }
}
function machineBusy() {
  try {
    const f = fs.readFileSync('/proc/stat', 'latin1').split('\n')[0].trim().split(/\s+/).slice(1).map(Number)
    return (f[0] + f[1] + f[2] + f[5] + f[6]) / TICK
  } catch {
    return NaN
  }
}
function pss(pids) {
  let t = 0
  for (const p of pids)
    try {
      t += +/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${p}/smaps_rollup`, 'latin1'))[1]
    } catch {
      /* gone */
    }
  return t / 1024
}

// ---------------------------------------------------------------- main
async function main() {
  const self = fileURLToPath(import.meta.url)
  const roots = (args.pid ?? '').split(',').filter(Boolean).map(Number),
    account = roots.length > 0 || !!args.cpuacct
  const child = (role) =>
    spawn(process.execPath, [self, ...process.argv.slice(2), '--role', role], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
  let sink = {},
    gen = null,
    sinkProc,
    sinkCount = 0,
    lastProgress = Date.now(),
    sinkLast = 0
  if (cfg.sinkImpl === 'node') {
    sinkProc = child('sink')
    await new Promise((r, j) => {
      sinkProc.on('message', (m) => {
        if (m.t === 'ready') r()
        else {
          if (m.delivered !== sinkCount) lastProgress = Date.now()
          sink = m
          sinkCount = m.delivered
          sinkLast = m.last
        }
      })
      sinkProc.on('exit', () => j(new Error('sink ended')))
    })
  } else {
    const a = ['-c', '-m', '1024', ...(process.getuid() === 0 ? ['-u', 'nobody'] : []), args.sink, '1024']
    sinkProc = spawn('smtp-sink', a, { stdio: ['ignore', 'pipe', 'inherit'] })
    sinkProc.stdout.on('data', (d) => {
      const s = d.latin1Slice(Math.max(0, d.length - 200))
      const m = [...s.matchAll(/mesg=(\d+)/g)].pop()
      if (m && +m[1] !== sinkCount) {
        sinkCount = +m[1]
        sinkLast = now()
        lastProgress = Date.now()
      }
    })
    await new Promise((r) => setTimeout(r, 300))
  }
  const before = account ? tree(roots) : null
  let peak = 0,
    peakProcs = 0
  const busy0 = machineBusy()
  const t0 = now()
  let genProc,
    genDone = false,
    genT1 = 0
  if (cfg.gen === 'node') {
    genProc = child('gen')
    genProc.on('message', (m) => {
      if (m.t === 'gen') gen = m
    })
  } else {
    const a = [
      '-s',
      String(cfg.sessions),
      '-l',
      String(cfg.size),
      '-m',
      String(cfg.count),
      '-r',
      String(cfg.rcpts),
      '-A',
      ...(cfg.perConn === 1 ? [] : ['-d']),
      '-f',
      `user1@${cfg.fromDomain}`,
      '-t',
      `user2@${cfg.toDomain}`,
      args.relay,
    ]
    genProc = spawn('smtp-source', a, { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  genProc.on('exit', () => {
    genDone = true
    genT1 = now()
    lastProgress = Date.now()
  })
  let n = 0
  while (true) {
    await new Promise((r) => setTimeout(r, 100))
    if (account && n++ % 5 === 0) {
      const t = tree(roots)
      peak = Math.max(peak, pss(t.pids))
      peakProcs = Math.max(peakProcs, t.pids.length)
    }
    const want = gen && genDone ? gen.accepted : cfg.count
    if (genDone && sinkCount >= want) break
    if (now() - t0 > cfg.timeout * 1000 || Date.now() - lastProgress > cfg.stall * 1000) break
  }
  if (!genDone) {
    if (cfg.gen === 'node')
      await new Promise((r) => {
        genProc.on('exit', r)
        genProc.send('stop')
      })
    else genProc.kill()
  }
  if (cfg.sinkImpl === 'node') {
    sinkProc.removeAllListeners('exit')
    await new Promise((r) => {
      sinkProc.on('exit', r)
      sinkProc.send('stop')
    })
  } else sinkProc.kill()
  const after = before ? tree(roots) : null
  const busy = machineBusy() - busy0,
    elapsed = (now() - t0) / 1000
  const start = gen ? gen.t0 : t0,
    accepted = gen ? gen.accepted : cfg.count
  const wall = ((sinkLast || now()) - start) / 1000,
    aWall = ((gen ? gen.lastAck || now() : genT1 || now()) - start) / 1000
  const cs = (c) => (c ? (c.user + c.system) / 1e6 : 0),
    foreign = busy - cs(gen?.cpu) - cs(sink.cpu) - (after ? after.cpu - before.cpu : 0)
  const sec = (c) => (c ? +((c.user + c.system) / 1e6).toFixed(2) : undefined)
  console.log(
    JSON.stringify({
      label: args.label,
      size: cfg.size,
      count: cfg.count,
      sessions: cfg.sessions,
      per_conn: cfg.perConn,
      tls: !!args.starttls,
      gen: cfg.gen,
      sink: cfg.sinkImpl,
      msgs_per_s: +(sinkCount / wall).toFixed(1),
      accepted_per_s: +(accepted / aWall).toFixed(1),
      mb_per_s: +((sinkCount * cfg.size) / wall / 1048576).toFixed(2),
      accepted,
      delivered: sinkCount,
      lost: accepted - sinkCount,
      dup: sink.dup,
      unrewritten: sink.unrewritten,
      unsigned: args['sink-expect-dkim'] ? sink.unsigned : undefined,
      rejected: gen?.rejected,
      errors: gen?.errors,
      first_error: gen?.firstErr ?? undefined,
      wall_s: +wall.toFixed(3),
      accept_wall_s: +aWall.toFixed(3),
      ack_p50_ms: gen?.ack_p50_ms,
      ack_p99_ms: gen?.ack_p99_ms,
      conn_p50_ms: gen?.conn_p50_ms,
      e2e_p50_ms: sink.e2e_p50_ms,
      e2e_p99_ms: sink.e2e_p99_ms,
      sink_conns: sink.conns,
      relay_cpu_s_per_1000: after
        ? +(((after.cpu - before.cpu) / Math.max(1, sinkCount)) * 1000).toFixed(3)
        : undefined,
      relay_peak_pss_mb: after ? +peak.toFixed(1) : undefined,
      relay_peak_procs: after ? peakProcs : undefined,
      gen_cpu_s: sec(gen?.cpu),
      sink_cpu_s: sec(sink.cpu),
      machine_busy_cores: +(busy / elapsed).toFixed(2),
      foreign_cores: after && gen && sink.cpu ? +(foreign / elapsed).toFixed(2) : undefined,
      bad_sample: sink.badSample ?? undefined,
    }),
  )
  if (
    accepted !== sinkCount ||
    sink.dup ||
    sink.unrewritten ||
    (args['sink-expect-dkim'] && sink.unsigned) ||
    sinkCount === 0
  )
    process.exitCode = 3
}
if (args.role === 'sink') runSink()
else if (args.role === 'gen') runGen()
else await main()
