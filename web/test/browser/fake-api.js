// What a server with accounts answers, said by the page's own fetch: put into a
// page with page.eval(fakeAPI), it shows every dialog without a mail server.
export const fakeAPI = `(() => {
  const user = { id: 'g_abcdefghijklmnopqrstuvwxyz', email: 'ann.of.green.gables@example.org', username: 'ann', name: 'Ann Shirley', languages: ['en', 'de'], interests: ['jazz', 'cooking', 'long walks'], roles: ['user'], totp: false, created_at: 1, last_login_at: 2 };
  let password = 'correct horse battery';
  const devices = [
    { id: 'd_1', name: 'Firefox on Linux', user_agent: 'Mozilla/5.0', address: '198.51.100.0/24', created_at: 1, last_seen_at: Date.now(), current: true },
    { id: 'd_2', name: 'Safari on iPhone with a rather long name', user_agent: 'Mozilla/5.0', address: '2001:db8:1::/48', created_at: 1, last_seen_at: Date.now() - 5 * 3600e3, current: false },
  ];
  const codes = Array.from({ length: 10 }, (_, i) => 'abcd' + i + '-fghi' + i);
  const login = () => [200, { user, access_expires_at: Date.now() + 600e3, refresh_expires_at: Date.now() + 9e9, ticket: 'T' }];
  const no = (status, code, detail, more) => [status, { type: 'urn:rondo:problem:' + code, title: 'x', status, code, detail, ...more }];
  const sure = (d) => d.password === password && (!user.totp || d.code) ? null : no(401, 'credentials', 'the password is wrong');
  const routes = {
    'POST /auth/register': (d) => d.username === 'taken' ? no(409, 'taken', 'username: somebody has it') : [202, { expires_at: Date.now() + 600e3 }],
    'POST /auth/resend': () => [202, { expires_at: Date.now() + 600e3 }],
    'POST /auth/forgot': () => [202, { expires_at: Date.now() + 600e3 }],
    'POST /auth/verify': (d) => d.code === '12345678' ? login() : no(400, 'code_invalid', 'the code is wrong or over'),
    'POST /auth/login': (d) => d.password !== password ? no(401, 'credentials', 'wrong') : user.totp && !d.code ? no(401, 'needs_totp', 'a code') : login(),
    'POST /auth/refresh': login,
    'POST /auth/logout': () => [204],
    'POST /auth/reset': (d) => { password = d.password; return [204]; },
    'POST /auth/password': (d) => d.current === password ? [204] : no(401, 'credentials', 'wrong'),
    'GET /me': () => [200, user],
    'PATCH /me': (d) => { Object.assign(user, d); return [200, user]; },
    'DELETE /me': (d) => sure(d) ?? [204],
    'GET /me/export': () => [200, { user }],
    'POST /me/deactivate': (d) => sure(d) ?? [204],
    'GET /me/devices': () => [200, { devices }],
    'PATCH /me/devices/d_1': (d) => [200, Object.assign(devices[0], d)],
    'DELETE /me/devices/d_2': () => [204],
    'GET /me/passkeys': () => [200, { passkeys: [{ id: 'k_1', name: 'Chrome on Android', backed_up: true, created_at: 1, last_used_at: Date.now() }] }],
    'POST /me/totp': (d) => sure(d) ?? [200, { secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', url: 'otpauth://totp/Rondo:ann.of.green.gables@example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Rondo' }],
    'POST /me/totp/confirm': (d) => { if (d.code !== '123456') return no(400, 'code_invalid', 'the code is wrong'); user.totp = true; return [200, { recovery_codes: codes }]; },
    'DELETE /me/totp': (d) => { const no = sure(d); if (!no) user.totp = false; return no ?? [204]; },
    'POST /me/recovery-codes': (d) => sure(d) ?? [200, { recovery_codes: codes }],
  };
  const real = window.fetch;
  window.asked = [];
  window.fetch = async (input, init = {}) => {
    const path = String(input);
    if (!path.startsWith('/api/v1/')) return real(input, init);
    const route = init.method + ' ' + path.slice(7);
    const d = init.body ? JSON.parse(init.body) : {};
    window.asked.push({ route, d });
    const [status, body] = routes[route] ? routes[route](d) : no(404, 'not_found', route);
    return new Response(status === 204 ? null : JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ETag: '"1"' } });
  };
  if (!window.rondo.features.includes('accounts')) window.rondo.features.push('accounts');
  window.rondo.emit('session', { fresh: false, reset: false });
})()`;
