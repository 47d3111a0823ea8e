// Preloaded into a server that has no setting for it: what it listens on is reached from this machine alone.
const { Server } = require('node:net');

const { listen } = Server.prototype;
Server.prototype.listen = function (first, ...rest) {
  const options = typeof first === 'object' ? first : { port: Number(first) };
  return listen.call(
    this,
    { ...options, host: '127.0.0.1' },
    ...rest.filter((one) => typeof one === 'function'),
  );
};
