// What administrators put into the simulated internet's DNS, and which hosts of theirs listen where: kept, where the sandbox has a directory.
import type { Zones, ZoneData, ZoneType } from '../internet/zones.ts'
import type { KeptFile } from '../tenants/kept-file.ts'

/** As a zone file writes it: `10 mx.example.net` for MX. */
interface WrittenRecord {
  readonly name: string
  readonly type: ZoneType
  readonly data: string
}

export interface KeptNames {
  readonly records: readonly WrittenRecord[]
  readonly hosts: readonly (readonly [host: string, port: number])[]
  /** What was there from the start and was taken away; absent: nothing. */
  readonly removed?: readonly WrittenRecord[]
}

export const RECORD_TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'TXT'] as const satisfies readonly ZoneType[]

export class OperatorNames {
  readonly #zones: Zones
  readonly #ports: Map<string, number>
  readonly #file: KeptFile<KeptNames> | undefined
  #records: WrittenRecord[] = []
  #removed: WrittenRecord[] = []
  readonly #hosts = new Map<string, number>()

  /** @param ports  by host, of all */
  constructor(zones: Zones, ports: Map<string, number>, file: KeptFile<KeptNames> | undefined) {
    this.#zones = zones
    this.#ports = ports
    this.#file = file
    const { records = [], hosts = [], removed = [] } = file?.load() ?? {}
    // The file stays as it is: a start that is broken off would leave half of it.
    for (const record of removed) this.#remove(record)
    for (const record of records) this.#put(record)
    for (const [host, port] of hosts) this.#listen(host, port)
  }

  /** Beside what the name holds of this type; twice is once. @throws RangeError when no name server would take it */
  putRecord(name: string, type: ZoneType, data: string): void {
    this.#put(recordOf(name, type, data))
    this.#keep()
  }

  /** @param data  undefined: all of this type */
  removeRecord(name: string, type: ZoneType, data?: string): void {
    const there = data === undefined ? this.#valuesOf(name, type) : [data]
    for (const each of there) this.#remove(recordOf(name, type, each))
    this.#keep()
  }

  /** On this machine, at this port in place of 25. @throws RangeError */
  setHost(host: string, port: number): void {
    this.#listen(host.toLowerCase(), port)
    this.#keep()
  }

  #put(record: WrittenRecord): void {
    const { name, type, data } = record
    const values = this.#valuesOf(name, type)
    if (values.includes(data)) return
    this.#set(name, type, [...values, data])
    const removed = without(this.#removed, record)
    if (removed.length === this.#removed.length) this.#records.push(record)
    this.#removed = removed
  }

  #remove(record: WrittenRecord): void {
    const { name, type, data } = record
    const values = this.#valuesOf(name, type)
    const records = without(this.#records, record)
    if (values.includes(data) && records.length === this.#records.length) this.#removed.push(record)
    this.#records = records
    const left = values.filter((value) => value !== data)
    if (left.length === 0) this.#zones.remove(name, type)
    else this.#set(name, type, left)
  }

  #listen(name: string, port: number): void {
    this.#set(name, 'A', ['127.0.0.1'])
    this.#ports.set(name, port)
    this.#hosts.set(name, port)
  }

  #set(name: string, type: ZoneType, values: readonly string[]): void {
    try {
      if (type === 'MX') this.#zones.set(name, type, ...values.map(exchanger))
      else this.#zones.set(name, type, ...values)
    } catch (error) {
      throw new RangeError(error instanceof Error ? error.message : String(error), { cause: error })
    }
  }

  #valuesOf(name: string, type: ZoneType): readonly string[] {
    return (this.#zones.find(name) ?? []).filter((record) => record.type === type).map(({ value }) => written(value))
  }

  #keep(): void {
    this.#file?.save({ records: this.#records, hosts: [...this.#hosts], removed: this.#removed })
  }
}

/** With the name and the data as they are read back. */
function recordOf(name: string, type: ZoneType, data: string): WrittenRecord {
  return { name: name.toLowerCase().replace(/\.$/, ''), type, data: type === 'MX' ? written(exchanger(data)) : data }
}

function without(records: readonly WrittenRecord[], record: WrittenRecord): WrittenRecord[] {
  return records.filter((each) => !isSame(each, record))
}

/** `10 mx.example.net` */
function exchanger(data: string): ZoneData['MX'] {
  const [, preference = '', exchange = ''] = /^(\d{1,5})\s+(\S+)$/.exec(data.trim()) ?? []
  return { preference: preference === '' ? Number.NaN : Number(preference), exchange: exchange.replace(/(.)\.$/, '$1') }
}

function written(value: ZoneData[ZoneType]): string {
  return typeof value === 'string' ? value : `${value.preference} ${value.exchange}`
}

function isSame(a: WrittenRecord, b: WrittenRecord): boolean {
  return a.name === b.name && a.type === b.type && a.data === b.data
}
