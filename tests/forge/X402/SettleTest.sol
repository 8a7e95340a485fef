// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {FalseReturnToken} from "../mocks/FalseReturnToken.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {NoReturnToken} from "../mocks/NoReturnToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {QuietToken} from "../mocks/QuietToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {RevertingToken} from "../mocks/RevertingToken.sol";
import {X402Test} from "./X402Test.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice What holds for each of the four ways to settle. Their own files say how each is submitted, and what it does
/// beyond this. Where a call has an EIP-2612 permit, it is one that the token refuses.
abstract contract SettleTest is X402Test {
    bytes4 internal constant SIGNATURE_EXPIRED = bytes4(keccak256("SignatureExpired(uint256)"));
    bytes4 internal constant INVALID_NONCE = bytes4(keccak256("InvalidNonce()"));
    bytes4 internal constant INVALID_SIGNER = bytes4(keccak256("InvalidSigner()"));
    bytes4 internal constant INVALID_CONTRACT_SIGNATURE = bytes4(keccak256("InvalidContractSignature()"));

    /// @dev The proxy under test.
    function proxy() internal view virtual returns (address);

    /// @dev The hash that is signed for this kind.
    function digestOf(Payment memory payment) internal view virtual returns (bytes32);

    /// @dev The call that settles.
    function callOf(Payment memory payment, bytes memory signature) internal view virtual returns (bytes memory);

    /// @dev x402's own event for this way.
    function plainEvent() internal pure virtual returns (bytes32);

    function test_settle_movesTheAmountToThePayee() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);

        settle(payment);

        assertEq(token.balanceOf(payee), AMOUNT);
        assertEq(token.balanceOf(payer.addr), FUNDS - AMOUNT);
        assertEq(token.balanceOf(proxy()), 0);
    }

    function test_settle_saysEverythingInOneEvent_besidesX402sOwn() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);

        vm.recordLogs();
        settle(payment);

        Vm.Log[] memory logs = logsOfProxy();
        Vm.Log memory detailed = logs[logs.length - 2];
        assertEq(detailed.topics.length, 4);
        assertEq(detailed.topics[0], keccak256("PaymentSettled(address,address,address,uint256,uint256)"));
        assertEq(detailed.topics[1], bytes32(uint256(uint160(payer.addr))));
        assertEq(detailed.topics[2], bytes32(uint256(uint160(payee))));
        assertEq(detailed.topics[3], bytes32(uint256(uint160(address(token)))));
        assertEq(detailed.data, abi.encode(AMOUNT, payment.nonce));
        Vm.Log memory plain = logs[logs.length - 1];
        assertEq(plain.topics.length, 1);
        assertEq(plain.topics[0], plainEvent());
        assertEq(plain.data.length, 0);
    }

    function test_settle_isOpenAtBothEnds() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        (payment.validAfter, payment.deadline) = (NOW, NOW);

        settle(payment);

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function test_settle_acceptsACompactSignature() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        (bytes32 r, bytes32 vs) = vm.signCompact(payer.privateKey, digestOf(payment));

        submit(payment, abi.encodePacked(r, vs));

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function test_settle_acceptsAWalletsSignature() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.owner = address(walletWithFunds());

        settle(payment);

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function test_settle_reverts_whenTheWalletChangedItsMind() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        ContractWallet wallet = walletWithFunds();
        payment.owner = address(wallet);
        wallet.close();

        expectRefusal(payment, abi.encodePacked(INVALID_CONTRACT_SIGNATURE));
    }

    function test_settle_reverts_whenAmountIsZero() external {
        Payment memory payment = paymentOf(address(token), 0);

        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidAmount.selector));
    }

    function test_settle_reverts_whenOwnerIsZero() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.owner = address(0);

        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidOwner.selector));
    }

    function test_settle_reverts_whenPayeeIsZero() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.to = address(0);

        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidDestination.selector));
    }

    function test_settle_reverts_beforeItsTime() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.validAfter = NOW + 1;

        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.PaymentTooEarly.selector));
    }

    function test_settle_reverts_afterItsDeadline() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.deadline = NOW - 1;

        expectRefusal(payment, abi.encodeWithSelector(SIGNATURE_EXPIRED, NOW - 1));
    }

    /// @dev The order decides which reason a facilitator is told.
    function test_settle_checksInX402sOrder() external {
        Payment memory payment = paymentOf(address(token), 0);
        payment.owner = address(0);
        payment.to = address(0);
        payment.validAfter = NOW + 1;
        payment.deadline = NOW - 1;

        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidAmount.selector));
        (payment.permitted, payment.amount) = (AMOUNT, AMOUNT);
        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidOwner.selector));
        payment.owner = payer.addr;
        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidDestination.selector));
        payment.to = payee;
        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.PaymentTooEarly.selector));
        payment.validAfter = NOW;
        expectRefusal(payment, abi.encodeWithSelector(SIGNATURE_EXPIRED, NOW - 1));
        payment.deadline = NOW;
        settle(payment);
    }

    function test_settle_reverts_whenItWasSettledBefore() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        settle(payment);

        expectRefusal(payment, abi.encodePacked(INVALID_NONCE));
    }

    function test_settle_reverts_whenSignedByAnother() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        (, uint256 otherKey) = makeAddrAndKey("another");

        expectRefusal(payment, packed(otherKey, digestOf(payment)), abi.encodePacked(INVALID_SIGNER));
    }

    function test_settle_reverts_whenSignedForAnotherChain() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        bytes memory signature = sign(payment);
        vm.chainId(block.chainid + 1);

        expectRefusal(payment, signature, abi.encodePacked(INVALID_SIGNER));
    }

    /// @dev Nobody but the payer chooses where the money goes, of what, how much, from when on and until when.
    function test_settle_reverts_whenAnythingThatWasSignedIsChanged() external {
        Payment memory signed = paymentOf(address(token), AMOUNT);
        bytes memory signature = sign(signed);

        for (uint256 field = 0; field < 5; ++field) {
            Payment memory payment = paymentOf(address(token), AMOUNT);
            if (field == 0) payment.to = makeAddr("thief");
            if (field == 1) payment.token = address(new PlainToken());
            if (field == 2) (payment.permitted, payment.amount) = (AMOUNT + 1, AMOUNT + 1);
            if (field == 3) payment.validAfter = 0;
            if (field == 4) payment.deadline = NOW + 61;
            expectRefusal(payment, signature, abi.encodePacked(INVALID_SIGNER));
        }
    }

    function test_settle_reverts_withoutAllowanceForPermit2() external {
        vm.prank(payer.addr);
        token.approve(permit2, AMOUNT - 1);

        expectRefusal(paymentOf(address(token), AMOUNT), transferFailed());
    }

    function test_settle_reverts_whenBalanceIsTooSmall() external {
        expectRefusal(paymentOf(address(token), FUNDS + 1), transferFailed());
    }

    function test_settle_acceptsATokenThatReturnsNothing() external {
        NoReturnToken noReturn = new NoReturnToken();
        noReturn.mint(payer.addr, FUNDS);
        vm.prank(payer.addr);
        noReturn.approve(permit2, FUNDS);

        settle(paymentOf(address(noReturn), AMOUNT));

        assertEq(noReturn.balanceOf(payee), AMOUNT);
    }

    function test_settle_reverts_whenTokenReturnsFalse() external {
        expectRefusal(paymentOf(address(fund(new FalseReturnToken())), AMOUNT), transferFailed());
    }

    function test_settle_reverts_whenTokenReverts() external {
        expectRefusal(paymentOf(address(fund(new RevertingToken())), AMOUNT), transferFailed());
    }

    /// @dev As x402's own: who counts payments must know the token, or read its Transfer event.
    function test_settle_believesATokenThatTakesAFee() external {
        PlainToken fee = fund(new FeeOnTransferToken());

        settle(paymentOf(address(fee), AMOUNT));

        assertEq(fee.balanceOf(payee), AMOUNT - 1);
    }

    /// @dev As above.
    function test_settle_believesATokenThatMovesNothing() external {
        PlainToken quiet = fund(new QuietToken());

        settle(paymentOf(address(quiet), AMOUNT));

        assertEq(quiet.balanceOf(payee), 0);
    }

    /// @dev Permit2 asks for no code. No log of a token stands beside this event.
    function test_settle_believesAnAddressWithoutCode_andLogsNoTransfer() external virtual {
        vm.recordLogs();
        settle(paymentOf(makeAddr("no code"), AMOUNT));

        assertEq(vm.getRecordedLogs().length, 2);
    }

    function test_settle_cannotBeReentered() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        Payment memory inner = paymentOf(address(token), AMOUNT);
        inner.facilitator = address(reentering);
        reentering.reenter(proxy(), callOf(inner, sign(inner)));
        Payment memory outer = paymentOf(address(reentering), AMOUNT);
        outer.nonce = 1;

        settle(outer);

        assertEq(reentering.balanceOf(payee), AMOUNT);
        assertFalse(reentering.called());
        assertEq(reentering.answer(), abi.encodePacked(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
        assertEq(token.balanceOf(payee), 0);
    }

    function testFuzz_settle_movesWhatWasSigned(
        uint256 amount,
        uint256 nonce,
        uint256 lifetime,
        uint256 age,
        address to
    ) external {
        vm.assume(to != address(0) && to != payer.addr);
        Payment memory payment = paymentOf(address(token), bound(amount, 1, FUNDS));
        payment.nonce = nonce;
        payment.deadline = NOW + bound(lifetime, 0, type(uint256).max - NOW);
        payment.validAfter = bound(age, 0, NOW);
        payment.to = to;

        settle(payment);

        assertEq(token.balanceOf(to), payment.amount);
        assertEq(token.balanceOf(payer.addr), FUNDS - payment.amount);
        expectRefusal(payment, abi.encodePacked(INVALID_NONCE));
    }

    function testFuzz_settle_reverts_whenSignatureIsAnything(bytes calldata signature) external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        vm.assume(keccak256(signature) != keccak256(sign(payment)));
        bytes memory call = callOf(payment, signature);

        vm.prank(facilitator);
        (bool done,) = proxy().call(call);

        assertFalse(done);
        assertEq(token.balanceOf(payee), 0);
    }

    function settle(Payment memory payment) internal {
        submit(payment, sign(payment));
    }

    function submit(Payment memory payment, bytes memory signature) internal {
        bytes memory call = callOf(payment, signature);
        vm.prank(facilitator);
        (bool done, bytes memory answer) = proxy().call(call);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function expectRefusal(Payment memory payment, bytes memory reason) internal {
        expectRefusal(payment, sign(payment), reason);
    }

    function expectRefusal(Payment memory payment, bytes memory signature, bytes memory reason) internal {
        bytes memory call = callOf(payment, signature);
        vm.prank(facilitator);
        (bool done, bytes memory answer) = proxy().call(call);
        assertFalse(done);
        assertEq(answer, reason);
    }

    function sign(Payment memory payment) internal view returns (bytes memory) {
        return packed(payer.privateKey, digestOf(payment));
    }

    /// @dev Gives the payer funds of a token and lets Permit2 spend them.
    function fund(PlainToken asset) internal returns (PlainToken) {
        asset.mint(payer.addr, FUNDS);
        vm.prank(payer.addr);
        asset.approve(permit2, type(uint256).max);
        return asset;
    }

    function walletWithFunds() internal returns (ContractWallet wallet) {
        wallet = new ContractWallet(payer.addr);
        vm.prank(payer.addr);
        assertTrue(token.transfer(address(wallet), AMOUNT));
        wallet.execute(address(token), abi.encodeCall(IERC20.approve, (permit2, AMOUNT)));
    }

    function logsOfProxy() internal returns (Vm.Log[] memory logs) {
        Vm.Log[] memory all = vm.getRecordedLogs();
        uint256 count = 0;
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i].emitter == proxy()) all[count++] = all[i];
        }
        logs = all;
        assembly ("memory-safe") {
            mstore(logs, count)
        }
    }

    function transferFailed() internal pure returns (bytes memory) {
        return abi.encodeWithSignature("Error(string)", "TRANSFER_FROM_FAILED");
    }
}
