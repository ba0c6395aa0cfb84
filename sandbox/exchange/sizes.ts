// Sizes as Exchange writes them, `1.5 GB (1,610,612,736 bytes)`: rounded for people, exact in brackets, and both in the culture of whoever asks.

export const SIZE_CULTURES = ['en-US', 'de-DE', 'fr-FR'] as const
export type SizeCulture = (typeof SIZE_CULTURES)[number]

interface Culture {
  readonly point: string
  readonly thousands: string
  readonly units: readonly string[]
  readonly bytes: string
}

const CULTURES: Readonly<Record<SizeCulture, Culture>> = {
  'en-US': { point: '.', thousands: ',', units: ['B', 'KB', 'MB', 'GB', 'TB'], bytes: 'bytes' },
  'de-DE': { point: ',', thousands: '.', units: ['B', 'KB', 'MB', 'GB', 'TB'], bytes: 'Bytes' },
  // U+202F, the narrow space that French groups digits with.
  'fr-FR': { point: ',', thousands: '\u202f', units: ['o', 'Ko', 'Mo', 'Go', 'To'], bytes: 'octets' },
}

/** @param bytes  whole, >= 0 */
export function formatSize(bytes: number, culture: SizeCulture): string {
  const { point, thousands, units, bytes: word } = CULTURES[culture]
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  // Four digits and no trailing zeros: 1.5, 25.61, 170.6, 1023.
  const rounded = String(Number(value.toPrecision(4))).replace('.', point)
  const exact = String(bytes).replaceAll(/\B(?=(?:\d{3})+$)/g, thousands)
  return `${rounded} ${units[unit] ?? ''} (${exact} ${word})`
}

/** What a property holds, in whatever culture: bytes, or text as it is (`Unlimited`). */
export function localiseSize(stored: unknown, culture: SizeCulture): unknown {
  if (typeof stored === 'number') return formatSize(stored, culture)
  if (typeof stored !== 'string') return stored
  const exact = /\(([\d.,\s]+) [a-z]+\)$/i.exec(stored)?.[1]?.replaceAll(/\D/g, '')
  return exact === undefined || exact === '' ? stored : formatSize(Number(exact), culture)
}
