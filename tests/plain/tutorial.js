// A tutorial's client, to be run as it stands in a page: connect, greet, listen, and be told of
// the end. Nothing here knows of Forebay.

// 创建 WebSocket 连接
const socket = new WebSocket('ws://localhost:8000');

// 连接建立时触发
socket.onopen = function (event) {
  console.log('连接已建立');
  socket.send('你好,服务器!');
};

// 收到服务器消息时触发
socket.onmessage = function (event) {
  console.log('收到服务器消息: ' + event.data);
};

// 连接关闭时触发
socket.onclose = function (event) {
  console.log('连接已关闭');
};

// 发生错误时触发
socket.onerror = function (error) {
  console.log('WebSocket 错误');
};

// 关闭连接
function closeConnection() {
  socket.close();
}
