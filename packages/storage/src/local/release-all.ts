/** Does all of it, in order, whatever fails; then rejects with the first failure. */
export async function releaseAll(releases: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = []
  for (const release of releases) await release().catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}
