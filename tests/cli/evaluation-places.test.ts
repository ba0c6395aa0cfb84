// Where an evaluation listens: an operator who moved its ports finds the old ones where they were.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { portsFrom } from '../../cli/evaluation/places.ts'

test('ports are those of the documentation unless they are moved', () => {
  for (const base of [undefined, '']) {
    const { api, entra, graph, exchange, sandboxControl } = portsFrom(base)
    assert.deepEqual([api, entra, graph, exchange, sandboxControl], [8080, 8081, 8082, 8083, 8084])
  }
  assert.equal(new Set(Object.values(portsFrom(undefined))).size, 13)
})

test('moved ports follow one another, in an order that only ever grows', () => {
  assert.deepEqual(portsFrom('20000'), {
    api: 20_000,
    entra: 20_001,
    relay: 20_002,
    frontDoor: 20_003,
    internet: 20_004,
    relayMetrics: 20_005,
    apiMetrics: 20_006,
    workerMetrics: 20_007,
    graph: 20_008,
    exchange: 20_009,
    sandboxControl: 20_010,
    dns: 20_011,
    outside: 20_012,
  })
})

test('a base that is no port is refused with the name of the setting', () => {
  for (const base of ['80', '65001', '8080.5', 'x']) assert.throws(() => portsFrom(base), /CAUSEWAY_PORT_BASE/, base)
})
