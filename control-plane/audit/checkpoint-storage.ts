// Where checkpoints are kept beside the database: places that whoever takes the database over can't change. (AU-3)

export interface CheckpointStorage {
  /**
   * Keeps a note; one that is there already is left alone. There for good when it resolves.
   * @throws CheckpointContradicted when another note of this size is there; whatever the place says
   */
  write(chain: string, size: number, note: string): Promise<void>
}

/** What was kept and what the database says are two histories. */
export class CheckpointContradicted extends Error {
  override readonly name = 'CheckpointContradicted'
}
