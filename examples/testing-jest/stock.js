/**
 * Counts what is in stock, from movements of { item, count }.
 *
 * @param {import('streambus').StreamBus} bus
 * @returns {Promise<Map<string, number>>}
 */
export async function countStock(bus) {
  const stock = new Map()
  for await (const message of bus.consumer('movements', { until: 'end' })) {
    const { item, count } = message.json()
    stock.set(item, (stock.get(item) ?? 0) + count)
  }
  return stock
}
