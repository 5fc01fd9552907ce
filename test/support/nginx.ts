import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nchan, nginx as program } from '../tools/ensure-nginx'
import { until } from './until'

export interface Nginx {
  /** `http://127.0.0.1:port`, or `https://` where it has a certificate. */
  readonly origin: string
  url(path?: string): string
  /** The configuration is read again; what is open goes on with the old workers. */
  reload(): Promise<void>
  /** Ends it at once, with all connections. */
  stop(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  close(): Promise<void>
}

const running = new Set<Nginx>()

/**
 * A real nginx as a child of this process, on a port of the loopback. `server`: what stands in its `server` block.
 * `tls`: it speaks HTTP/2 over TLS, with a certificate that nobody trusts.
 */
export async function startNginx(server: string, { tls = false, http = '' } = {}): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-nginx-'))
  const port = await freePort()
  const config = join(folder, 'nginx.conf')
  const files = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  const listen = tls
    ? `listen 127.0.0.1:${port} ssl http2; ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;`
    : `listen 127.0.0.1:${port};`
  if (tls) execFileSync('openssl', certificate(folder), { stdio: 'ignore' })
  await writeFile(
    config,
    `load_module ${nchan};
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
    events { worker_connections 2048; }
    http { access_log off; ${files.join(' ')} ${http} server { ${listen} ${server} } }`,
  )
  let child: ChildProcess | undefined
  await start()

  const origin = `http${tls ? 's' : ''}://127.0.0.1:${port}`
  const nginx: Nginx = { origin, url: (path = '/') => origin + path, reload, stop, start, close }
  running.add(nginx)
  return nginx

  async function start(): Promise<void> {
    const started = spawn(program, ['-c', config, '-e', join(folder, 'error.log')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    started.stderr?.on('data', (data) => {
      said += data
    })
    child = started
    await until(() => {
      if (started.exitCode !== null) throw new Error(`nginx ended: ${said}`)
      return accepts(port)
    }, 'nginx to listen')
  }

  async function reload(): Promise<void> {
    const before = new Set(workers().map(({ pid }) => pid))
    child?.kill('SIGHUP')
    // An old worker accepts connections until it has heard of it, and what it is given then may be lost.
    await until(
      () => {
        const old = workers().filter(({ pid }) => before.has(pid))
        return workers().length > old.length && old.every(({ title }) => /shutting down/.test(title))
      },
      { what: 'new workers alone to accept' },
    )
  }

  /** The children of nginx's own process. */
  function workers(): { pid: string; title: string }[] {
    return execFileSync('ps', ['-o', 'pid=,args=', '--ppid', `${child?.pid}`], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [, pid, title] = /^ *(\d+) (.*)$/.exec(line)!
        return { pid: pid!, title: title! }
      })
  }

  async function stop(): Promise<void> {
    const stopped = child
    if (!stopped || stopped.exitCode !== null || stopped.signalCode !== null) return
    const ended = new Promise((resolve) => stopped.once('exit', resolve))
    stopped.kill('SIGTERM')
    await ended
  }

  async function close(): Promise<void> {
    running.delete(nginx)
    await stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** For `afterEach`. */
export async function closeNginx(): Promise<void> {
  await Promise.all([...running].map((nginx) => nginx.close()))
}

function certificate(folder: string): string[] {
  const made = ['-keyout', `${folder}/key.pem`, '-out', `${folder}/cert.pem`, '-days', '2']
  return ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', ...made]
}

/** nginx cannot be told to take any port, nor say which one it has taken. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
