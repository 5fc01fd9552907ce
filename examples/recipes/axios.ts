import axios, { type AxiosInstance } from 'axios'
import type { Client } from 'millrace'

// When the page speaks HTTP through axios (1.12 or later, with its fetch adapter): interceptors and errors stay its own;
// equal GETs in flight become one request, and all of them pass the gate.

export const createApi = (client: Client, baseURL: string): AxiosInstance =>
  axios.create({ baseURL, adapter: 'fetch', env: { fetch: (input, init) => client.fetch(input, init) } })
