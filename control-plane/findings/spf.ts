// The domains that an SPF record sends a receiver on to. Pure. (RFC 7208 §4.6.1, §5.2, §6.1)

/** @returns lower case, in their order; what holds a macro depends on the message, and is left out */
export function unfoldSpf(record: string): string[] {
  return record
    .split(/ +/)
    .flatMap((term) => /^(?:[+?~-]?include:|redirect=)(.+)$/i.exec(term)?.[1] ?? [])
    .map((name) => name.toLowerCase().replace(/\.$/, ''))
    .filter((name) => name.length <= 253 && !name.includes('%'))
}
